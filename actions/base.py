"""The contract of an action: its config and context, what it returns, and how it fails."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Final, Generic, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict

# A value that PostgreSQL's jsonb can hold: no NaN, no NUL, integers of at most 64 bits.
Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


# The context for validating a config that was accepted before: of a wait that has begun, or written out in a version
# that is published. What an earlier release accepted there goes on working.
ACCEPTED: Final[dict[str, bool]] = {"accepted": True}


class Config(BaseModel):
    """The schema of a step's `with`, checked after its expressions are rendered. Unknown keys are refused.

    So is a value of another type: `5` is no boolean, and `"5"` no number. The types of actions.texts, actions.moments
    and actions.durations say what they convert.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


C = TypeVar("C", bound=Config)


class ActionError(Exception):
    """An attempt that failed. `kind` is what `retry.on` lists: `timeout`, `http:503`, `error`."""

    permanent: ClassVar[bool] = True

    def __init__(self, message: str, *, kind: str = "error", details: Mapping[str, Json] | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.details = dict(details or {})


class Permanent(ActionError):
    """A failure that another attempt would repeat: the step fails now, even if attempts are left."""


class Retryable(ActionError):
    """A failure that may be gone at the next attempt. `delay_seconds` (a Retry-After) overrides the retry policy."""

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
    """The attempt stopped early because `Context.cancelled()` was true: its run was cancelled, or timed out."""

    def __init__(self, message: str = "the run was stopped while the step was running") -> None:
        super().__init__(message, kind="cancelled")


@dataclass(frozen=True)
class Park:
    """Returned instead of an output: the step waits for a time, a signal, or whichever of the two comes first.

    While it waits it is a row and occupies no worker. With a `key`, a signal can reach the step without the run's id.
    The end of the wait is passed to the action's method `woken`, which by default returns `output`.
    """

    wake_at: datetime | None = None
    output: Json = None
    signal: str | None = None
    key: str | None = None


@dataclass(frozen=True)
class Woken:
    """What ended a wait: its time, or (`by_signal`) a signal with its payload. `output` is the one given to Park."""

    step: str
    at: datetime
    output: Json = None
    by_signal: bool = False
    payload: Json = None


@dataclass(frozen=True)
class Spawn:
    """Returned instead of an output: a run of another workflow of the same workspace is started with `input`.

    `workflow` is a name or id, `version` a version's number (None: the current one). With `wait` the step waits for
    that run's end, occupies no worker meanwhile, and succeeds with `{"run", "state", "output"}`; without `wait` it
    succeeds at once with `{"run"}`.
    """

    workflow: str
    input: Json
    version: int | None = None
    wait: bool = True
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Retry:
    """The retry policy of an action: how many attempts a step has, and the delay before each.

    Seconds before attempt n (n >= 2): initial * factor**(n-2), at most `max`, times 1 +- jitter. If `delays` is given,
    it replaces this: its first entry is the delay before attempt 2, and its last entry repeats. If `on` is not empty,
    only failures of these kinds are retried.
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
    """What an action can read about its attempt besides its config. It must not change anything in it.

    `input` is the step's own input. `names` are the names that an expression can use: `steps`, `run`, `input` (here
    the run's input), and each key of the step's input as a name of its own. `idempotency_key` is the same for every
    attempt of this step of this run, and differs from every other step's. `now` is the database's time. `item` is the
    index of the item in a for_each, else -1.
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
        """Call `effect`, store its result under `name`, and return it; a later attempt gets the stored result instead.

        It is for actions with several effects: an effect whose result an earlier attempt stored is not repeated. A
        worker can still die between an effect and the storing of its result, so an effect outside the database should
        also carry the idempotency key.
        """
        ...

    def cancelled(self) -> bool:
        """Whether the run was stopped since the attempt began. The call is cheap and safe from any thread.

        A long action should call it now and then, and raise Cancelled at a point where no unrecorded effect would be
        left behind. An action that never calls it runs to its end, and its outcome is recorded as usual.
        """
        ...


class Action(ABC, Generic[C]):
    """One thing that a step can do. Subclass it in a file of its own, and list that file in actions/registry.py.

    - `pure`: the same input gives the same output, and nothing outside is touched. So the action may be computed twice
      without harm, needs no write of its own, and several attempts may share one config object.
    - `parks`: the action returns Park or Spawn and touches nothing outside, so it needs no claim either.
    - `repeatable`: it is safe to repeat the effect with the same idempotency key.
    - `transactional`: the effect is nothing but SQL in Django's default database. It is performed in the transaction
      that records the step, so both are committed or neither.
    - `raw`: names of the config fields that the engine leaves unrendered, because the action evaluates them itself.
    - `error_kinds`: kinds of its own Retryable failures, which `retry.on` may list besides those of any action.
    - `signal_field`: the config field with the name of the signal that the action's steps wait for.
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
    error_kinds: ClassVar[frozenset[str]] = frozenset()
    signal_field: ClassVar[str | None] = None
    config_class: ClassVar[type[Config]]

    @abstractmethod
    def perform(self, config: C, context: Context) -> Json | Park | Spawn:
        """Perform one attempt. Raises Retryable or Permanent; other exceptions count as Retryable of kind `error`."""

    def woken(self, config: C, woken: Woken) -> Json:
        """Return the output of a step whose wait (see Park) has ended. Raises as `perform` does."""
        return woken.output

    @classmethod
    def from_payload(cls, payload: Json) -> Json:
        """Turn the `payload` of a short-form step into the action's config; by default it is the config already."""
        return payload
