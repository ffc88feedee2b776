"""The contract of an action: its config and context, what it returns, and how it fails."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from functools import cache
from typing import Any, ClassVar, Final, Generic, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict

# A value that PostgreSQL's jsonb can hold: no NaN, no NUL, integers of at most 64 bits.
Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


# The context for validating a config that was accepted before: of a wait that has begun, or written out in a version
# that is published. What an earlier release accepted there goes on working.
ACCEPTED: Final[dict[str, bool]] = {"accepted": True}


class Use(Enum):
    """What an action does with the value of a config field, and so which computed values it may have.

    - PLAIN: it is an argument. A computed null is refused, because it was taken as "left out"; and a text that an
      expression is only a part of takes texts, numbers and booleans.
    - DECISIVE: as PLAIN, and leaving it out changes who may do what, or how long something lasts. A computed value that
      is empty is refused, too.
    - QUERY: as DECISIVE, but an empty text among its values is a value.
    - URL: as DECISIVE, and no part of the text may be empty before the query.
    - PROSE: a text for people. A computed null is refused; a part of the text may be anything, and is written as JSON.
    - PAYLOAD: JSON that is handed on. Null, empty values, and JSON in texts are as good as any other.
    """

    PLAIN = "plain"
    DECISIVE = "decisive"
    QUERY = "query"
    URL = "url"
    PROSE = "prose"
    PAYLOAD = "payload"


class Config(BaseModel):
    """The schema of a step's `with`, checked after its expressions are rendered. Unknown keys are refused.

    So is a value of another type: `5` is no boolean, and `"5"` no number. The types of actions.texts, actions.moments
    and actions.durations say what they convert. `uses` says what a field is for, as far as that is not PLAIN, or, for
    a field of any JSON, PAYLOAD.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    uses: ClassVar[Mapping[str, Use]] = {}

    @classmethod
    def use_of(cls, key: str) -> Use:
        """Return the use of the field with this key, as it is written in `with`."""
        return _use_of(cls, key)


@cache
def _use_of(config: type[Config], key: str) -> Use:
    if key in config.uses:
        return config.uses[key]
    field = next((one for name, one in config.model_fields.items() if key in (name, one.alias)), None)
    # `Any`, and lists and objects of it.
    any_json = field is not None and (field.annotation is Any or "Any" in str(field.annotation))
    return Use.PAYLOAD if any_json else Use.PLAIN


C = TypeVar("C", bound=Config)


class Output(BaseModel):
    """The fields of what an action gives: for its documentation, its JSON Schema, and the check of expressions.

    With `extra="forbid"` (the default) an output never has other fields, so publishing warns about an expression that
    reads one. An output whose fields depend on the run says `model_config = ConfigDict(extra="allow")`. A field that
    not every output has gets a default. What an attempt returns is not validated by it; the action's examples are.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


@dataclass(frozen=True)
class Example:
    """A step that shows what an action is for. It is documentation, and a test performs it.

    `config` is the step's `with`, `input` the run's input, `steps` are the steps before it as a definition has them
    (`needs`: those that it needs, unless that is the last one), and `workflows` the definitions that have to be
    published. `payload` is that of the signal, or the decision, that ends the step's wait. An object in `output` may
    leave out keys that the step's output has; all else is exact, and None is compared with nothing. `error` is the kind
    of the failure that the step ends with, instead of an output.
    An address at `https://api.example.com` is answered by the tests' own server.
    """

    title: str
    config: dict[str, Any]
    input: Json = None
    output: Json = None
    steps: tuple[dict[str, Any], ...] = ()
    needs: tuple[str, ...] = ()
    workflows: tuple[dict[str, Any], ...] = ()
    payload: Json = None
    error: str = ""


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


# What an attempt has beside the time that its config gives to what the action does (Action.timeout_field).
GRACE_SECONDS = 5.0

ONCE = Retry(max_attempts=1)


class Context(Protocol):
    """What an action can read about its attempt besides its config. It must not change anything in it.

    `input` is the step's own input. `names` are the names that an expression can use: `steps`, `run`, `input` (here
    the run's input), and each key of the step's input as a name of its own. `idempotency_key` is the same for every
    attempt of this step of this run, and differs from every other step's. `now` is the database's time. `item` is the
    index of the item in a for_each, else -1. `has_compensation` tells whether the definition says how to undo the step.
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
    @property
    def has_compensation(self) -> bool: ...

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
    - `own_input`: its `perform` may read `context.input`. If not, a retry by hand refuses an input that nothing reads.
    - `timeout_field`: the config field that limits what the action does in an attempt, in seconds. An attempt of a step
      without a `timeout` then has GRACE_SECONDS more than that.
    - `signal_field`: the config field with the name of the signal that the action's steps wait for.
    - `payload_words`: keys of a `payload` that mean a config field, as in `{"message": "text"}`, unless that is given.
    - `payload_defaults`: config fields that a `payload` need not give, although `with` must.
    - `summary` is one line, `description` several sentences in Markdown, `output` one line for people on what
      `output_class` declares. All of them, and `examples`, are in docs/actions and in the API.
    - `credential_kinds`: kinds of stored credentials that the config field `credential` may name.
    """

    name: ClassVar[str]
    aliases: ClassVar[tuple[str, ...]] = ()
    summary: ClassVar[str]
    description: ClassVar[str] = ""
    output: ClassVar[str]
    output_class: ClassVar[type[Output] | None] = None
    examples: ClassVar[tuple[Example, ...]] = ()
    credential_kinds: ClassVar[tuple[str, ...]] = ()
    pure: ClassVar[bool] = False
    parks: ClassVar[bool] = False
    repeatable: ClassVar[bool] = True
    transactional: ClassVar[bool] = False
    timeout_seconds: ClassVar[float] = 60.0
    retry: ClassVar[Retry] = Retry()
    raw: ClassVar[frozenset[str]] = frozenset()
    error_kinds: ClassVar[frozenset[str]] = frozenset()
    own_input: ClassVar[bool] = True
    timeout_field: ClassVar[str | None] = None
    signal_field: ClassVar[str | None] = None
    payload_words: ClassVar[Mapping[str, str]] = {}
    payload_defaults: ClassVar[Mapping[str, Json]] = {}
    config_class: ClassVar[type[Config]]

    @abstractmethod
    def perform(self, config: C, context: Context) -> Json | Park | Spawn | Coroutine[Any, Any, Json | Park | Spawn]:
        """Perform one attempt. Raises Retryable or Permanent; other exceptions count as Retryable of kind `error`.

        It may be an `async def`, if the action is effectful: it is performed on the event loop of its process.
        """

    def woken(self, config: C, woken: Woken) -> Json:
        """Return the output of a step whose wait (see Park) has ended. Raises as `perform` does."""
        return woken.output

    @classmethod
    def faults(cls, config: Mapping[str, Json]) -> Iterator[tuple[tuple[str, ...], str]]:
        """Yield place and message of what is wrong in every run with a config as written, apart from types.

        It is called when a definition is published. Values may have expressions, and may be of a wrong type.
        """
        yield from ()

    @classmethod
    def from_payload(cls, payload: Json) -> Json:
        """Turn the `payload` of a job or short-form step into the action's config: the keys of it that the config has.

        All other keys are data; see `data_of`. A payload that is no mapping is returned as it is.
        """
        if not isinstance(payload, dict):
            return payload
        fields = ((cls._field_of(key, payload), value) for key, value in payload.items())
        return {**cls.payload_defaults, **{field: value for field, value in fields if field is not None}}

    @classmethod
    def data_of(cls, payload: Json) -> dict[str, Json]:
        """Return the keys of a payload that the action does not know. Only the step's input has them."""
        if not isinstance(payload, dict):
            return {}
        return {key: value for key, value in payload.items() if cls._field_of(key, payload) is None}

    @classmethod
    def _field_of(cls, key: str, payload: Mapping[str, Json]) -> str | None:
        if key in config_keys(cls.config_class):
            return key
        field = cls.payload_words.get(key)
        return None if field in payload else field

    @classmethod
    def reads_input(cls, config: Json) -> bool:
        """Whether `perform` may read `context.input`, with this config as written; by default as `own_input` says."""
        return cls.own_input


@cache
def config_keys(config_class: type[Config]) -> frozenset[str]:
    """Return the keys that a config may have, as they are written: `for`, not `for_`."""
    return frozenset(field.alias or name for name, field in config_class.model_fields.items())
