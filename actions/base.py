"""Say what an action is: what it is given, what it answers, how it fails."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Generic, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict

# A value that PostgreSQL's jsonb can hold: no NaN, no NUL, integers of at most 64 bits.
Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


class Config(BaseModel):
    """What a step's `with` must look like, after its expressions were rendered. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


C = TypeVar("C", bound=Config)


class ActionError(Exception):
    """An attempt that failed. `kind` is a short class name for `retry.on`: `timeout`, `http:503`, `error`."""

    permanent: ClassVar[bool] = True

    def __init__(self, message: str, *, kind: str = "error", details: Mapping[str, Json] | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.details = dict(details or {})


class Permanent(ActionError):
    """Trying again would fail again: the step fails now, whatever attempts are left."""


class Retryable(ActionError):
    """Trying again may help. `delay_seconds` (a Retry-After) wins over the step's retry policy."""

    permanent = False

    def __init__(
        self,
        message: str,
        *,
        kind: str = "error",
        delay_seconds: float | None = None,
        details: Mapping[str, Json] | None = None,
    ) -> None:
        super().__init__(message, kind=kind, details=details)
        self.delay_seconds = delay_seconds


class Cancelled(ActionError):
    """The attempt stopped early because `Context.cancelled()` said so: its run was cancelled, or ran out of time."""

    def __init__(self, message: str = "the run was stopped while the step was running") -> None:
        super().__init__(message, kind="cancelled")


@dataclass(frozen=True)
class Park:
    """Answered instead of an output: the step waits as a row, holding no worker, for a moment, a signal, or both.

    `key` lets a signal find the step without its run. What ends the wait is handed to the action's `woken`, which
    by default answers `output`.
    """

    wake_at: datetime | None = None
    output: Json = None
    signal: str | None = None
    key: str | None = None


@dataclass(frozen=True)
class Woken:
    """What ended a wait: its moment, or (`by_signal`) a signal with its payload. `output` is what Park was given."""

    step: str
    at: datetime
    output: Json = None
    by_signal: bool = False
    payload: Json = None


@dataclass(frozen=True)
class Spawn:
    """Answered instead of an output: a run of another workflow of the same workspace is started with `input`.

    `workflow` is its name or id, `version` a number of it (None: the current one). With `wait` the step waits as a
    row for that run's end and succeeds with `{"run", "state", "output"}`; without, it succeeds at once with `{"run"}`.
    """

    workflow: str
    input: Json
    version: int | None = None
    wait: bool = True
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Retry:
    """How often and when a failed attempt is repeated.

    Seconds before attempt n (n >= 2): initial * factor**(n-2), at most `max`, times 1 +- jitter;
    `delays`, where given, is the ladder instead (its last rung repeats).
    """

    max_attempts: int = 3
    initial_seconds: float = 1.0
    factor: float = 2.0
    max_seconds: float = 60.0
    jitter: float = 0.1
    on: tuple[str, ...] = ()
    delays_seconds: tuple[float, ...] = ()


ONCE = Retry(max_attempts=1)


class Context(Protocol):
    """What one attempt of one step may know besides its config. Read it; nothing of it may be changed.

    `input` is the step's own input. `names` are the names an expression may use (`input` there is the run's input,
    `steps`, `run`, ... and the keys of the step's input as bare names). `idempotency_key` is the same for every
    attempt of this step of this run, and differs from every other step's. `now` is the database's time, `item` the
    number of the item in a for_each, else -1.
    """

    @property
    def input(self) -> Json: ...
    @property
    def names(self) -> Mapping[str, Json]: ...
    @property
    def run_id(self) -> str: ...
    @property
    def step(self) -> str: ...
    @property
    def attempt(self) -> int: ...
    @property
    def idempotency_key(self) -> str: ...
    @property
    def now(self) -> datetime: ...
    @property
    def timeout_seconds(self) -> float: ...
    @property
    def item(self) -> int: ...

    def once(self, name: str, effect: Callable[[], Json], /) -> Json:
        """Call `effect` and keep what it answers; a later attempt is given that instead.

        It is for actions with several effects: those that an earlier attempt recorded are not made again. Between an
        effect and its record there is still a moment in which a worker can die, so an effect outside wants an
        idempotency key as well.
        """
        ...

    def cancelled(self) -> bool:
        """Whether the run was stopped meanwhile; it is cheap, and may be asked from any thread.

        An action that takes long asks it now and then, and raises Cancelled where it can stop without leaving an
        effect behind that nobody knows of; one that does not goes on to its end, and its outcome is written all the
        same.
        """
        ...


class Action(ABC, Generic[C]):
    """One thing a step can do. Subclass it in a file of its own, and list that file in actions/registry.py.

    `pure` says: same input, same output, nothing touched outside; it may be computed twice without harm, costs no
    write of its own, and its attempts may be handed one and the same config object. `parks` says: it answers Park or
    Spawn and touches nothing, so it needs no claim either. `repeatable` says whether doing the effect again with the
    same idempotency key is safe. `transactional` says: its effect is in Django's default database and nothing but
    SQL; it is performed in the transaction that records the step, so that both are committed or neither. `raw` names
    config fields that the engine hands over unrendered, because the action evaluates them itself. `signal_field`
    names the config field that holds the name of the signal that its steps wait for.
    """

    name: ClassVar[str]
    aliases: ClassVar[tuple[str, ...]] = ()
    summary: ClassVar[str]
    output: ClassVar[str]
    pure: ClassVar[bool] = False
    parks: ClassVar[bool] = False
    repeatable: ClassVar[bool] = True
    transactional: ClassVar[bool] = False
    timeout_seconds: ClassVar[float] = 60.0
    retry: ClassVar[Retry] = Retry()
    raw: ClassVar[frozenset[str]] = frozenset()
    signal_field: ClassVar[str | None] = None
    config_class: ClassVar[type[Config]]

    @abstractmethod
    def perform(self, config: C, context: Context) -> Json | Park | Spawn:
        """Do it once. Raises Retryable or Permanent; any other exception counts as Retryable of kind `error`."""

    def woken(self, config: C, woken: Woken) -> Json:
        """The output of a step that was parked, now that its wait is over. Raises as `perform` does."""
        return woken.output

    @classmethod
    def from_payload(cls, payload: Json) -> Json:
        """The config that a short-form payload stands for; by default the payload is the config as it is."""
        return payload
