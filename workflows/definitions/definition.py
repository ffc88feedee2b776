"""The canonical definition of a workflow, as Pydantic models. Every accepted form is translated into it."""

from __future__ import annotations

import hashlib
import re
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final, Literal

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from actions.base import Json
from actions.durations import Seconds
from actions.expressions import step_results
from actions.texts import described
from workflows.definitions.names import NAME_PATTERN

STEP_ID = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


class Join(StrEnum):
    """What the outcomes of a step's predecessors must be for it to run.

    With the default, all_succeeded, a skipped predecessor makes the step be skipped as well.
    """

    ALL_SUCCEEDED = "all_succeeded"
    NONE_FAILED = "none_failed"
    ALL_DONE = "all_done"
    ANY_SUCCEEDED = "any_succeeded"
    ANY_FAILED = "any_failed"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


# The context for validating a definition that is being published. What is stored is read without it.
PUBLISHING: Final[dict[str, bool]] = {"publishing": True}


def _no_other_type(given: object, info: ValidationInfo) -> object:
    """Refuse what Pydantic would convert into a number, such as true. Stored definitions are read as before."""
    if info.context is PUBLISHING and isinstance(given, (bool, str)):
        raise ValueError(f"must be a number, not {described(given)}")
    return given


_Int = Annotated[int, BeforeValidator(_no_other_type)]
_Float = Annotated[float, BeforeValidator(_no_other_type)]

# Retry policies by name, as in `retry: ladder`.
RETRY_PRESETS: dict[str, dict[str, Json]] = {
    "none": {"max_attempts": 1},
    "ladder": {"delays": [60, 300, 1800]},
    "three_tier": {"delays": [0, 60, 300, 1800]},
}


class RetryDefinition(_Part):
    """A step's retry policy. A field that is not given has the value of the action's retry policy."""

    max_attempts: _Int | None = Field(default=None, ge=1, le=1000)
    initial: Seconds | None = None
    factor: _Float | None = Field(default=None, ge=1, le=100, allow_inf_nan=False)
    max: Seconds | None = None
    jitter: _Float | None = Field(default=None, ge=0, le=1, allow_inf_nan=False)
    on: tuple[str, ...] | None = Field(default=None, max_length=1000, fail_fast=True)
    delays: tuple[Seconds, ...] | None = Field(default=None, max_length=1000, fail_fast=True)

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, given: object) -> object:
        if not isinstance(given, str):
            return given
        if given not in RETRY_PRESETS:
            raise ValueError(f"{given[:100]!r} is no preset; write {', '.join(RETRY_PRESETS)}, or a mapping")
        return RETRY_PRESETS[given]


class Compensation(_Part):
    """The action that undoes a step if the run fails later."""

    action: str
    with_: dict[str, Any] | str = Field(default_factory=dict, alias="with")
    retry: RetryDefinition | None = None
    timeout: Seconds | None = None


class ForEach(_Part):
    """Performs a step once for each item of a list. `items` is the list, or an expression that gives one.

    With `collect` the step's output contains the results of the items, if they are few and small.
    """

    items: list[Any] | str
    max_parallel: _Int = Field(default=10, ge=1, le=1000)
    batch: _Int = Field(default=100, ge=1, le=1000)
    # At least this long passes between the beginnings of two batches.
    min_batch_seconds: Seconds = 0.0
    on_item_error: Literal["fail", "continue"] = "fail"
    collect: bool = True

    @property
    def streamed(self) -> str | None:
        """The id of the for_each step whose results are the list, as `{{ steps.each.results }}` says; else None."""
        return step_results.streamed(self.items) if isinstance(self.items, str) else None


class StepDefinition(_Part):
    """One step. `needs` is always explicit in the canonical form.

    `payload` is an expression whose value, at run time, is both config and input of the step, as in the short form.
    """

    id: str = Field(pattern=rf"^{STEP_ID.pattern}$")
    name: str | None = Field(default=None, max_length=200)
    action: str
    with_: dict[str, Any] | str = Field(default_factory=dict, alias="with")
    payload: str | None = None
    needs: tuple[str, ...] = Field(default=(), fail_fast=True, examples=[["a", "b"]])
    if_: str | None = Field(default=None, alias="if")
    for_each: ForEach | None = Field(default=None, examples=[{"items": "{{ input.rows }}"}])
    join: Join = Join.ALL_SUCCEEDED
    retry: RetryDefinition | None = Field(default=None, examples=[{"max_attempts": 5, "initial": "10s"}])
    timeout: Seconds | None = None
    on_error: str = Field(default="fail", pattern=rf"^(fail|continue|goto:{STEP_ID.pattern})$")
    compensate: Compensation | None = Field(default=None, examples=[{"action": "notify", "with": {"channel": "ops"}}])

    def canonical(self) -> dict[str, Json]:
        """Return the step as JSON. Fields with their default value are left out, except `needs`."""
        fields: dict[str, Json] = self.model_dump(
            mode="json", by_alias=True, exclude_defaults=True, exclude={"id", "name", "needs"}
        )
        name: dict[str, Json] = {} if self.name is None else {"name": self.name}
        return {"id": self.id, **name, "needs": [*self.needs], **fields}

    @property
    def goto(self) -> str | None:
        """The id of the step that a failure jumps to (`on_error: goto:<id>`), or None."""
        return self.on_error.removeprefix("goto:") if self.on_error.startswith("goto:") else None


class Policy(StrEnum):
    """What happens to a start when the concurrency limit is reached.

    It waits in the queue, is skipped (no run is created), or older runs are cancelled to make room for it.
    """

    QUEUE = "queue"
    SKIP = "skip"
    CANCEL_RUNNING = "cancel_running"


class Concurrency(_Part):
    """A limit on live runs: of the whole workflow, or, with a `key`, of the runs that have the same key."""

    limit: _Int = Field(ge=1, le=1_000_000)
    key: str | None = Field(default=None, min_length=1, max_length=8192)
    policy: Policy = Policy.QUEUE


class Definition(_Part):
    """A workflow: its steps in the order of the file, and the settings of the workflow as a whole."""

    MAX_STEPS: ClassVar[int] = 12_000
    MAX_LABELS: ClassVar[int] = 1_000

    name: str = Field(min_length=1, max_length=100, pattern=NAME_PATTERN)
    description: str = Field(default="", max_length=10_000)
    inputs: dict[str, Any] | None = Field(
        default=None, examples=[{"type": "object", "properties": {"email": {"type": "string"}}}]
    )
    output: Any = None
    labels: dict[str, str] = Field(default_factory=dict, examples=[{"team": "shop"}])
    triggers: tuple[dict[str, Any], ...] = Field(
        default=(), max_length=1000, fail_fast=True, examples=[[{"webhook": {}}]]
    )
    concurrency: Concurrency | None = Field(default=None, examples=[{"limit": 1}])
    priority: _Int = Field(default=0, ge=-100, le=100)
    # Seconds that a run may take from its start to its end. After that it is stopped and fails.
    timeout: Annotated[Seconds, Field(gt=0)] | None = None
    steps: tuple[StepDefinition, ...] = Field(min_length=1, max_length=MAX_STEPS)
    on_failure: tuple[StepDefinition, ...] = Field(default=(), max_length=MAX_STEPS)
    finally_: tuple[StepDefinition, ...] = Field(default=(), alias="finally", max_length=MAX_STEPS)

    @field_validator("labels", mode="before")
    @classmethod
    def _few_labels(cls, given: object) -> object:
        # Before they are looked at: Pydantic describes what is wrong with each of them.
        if isinstance(given, dict) and len(given) > cls.MAX_LABELS:
            raise ValueError(f"has {len(given):,} labels; {cls.MAX_LABELS:,} are the limit")
        return given

    def canonical(self) -> dict[str, Json]:
        """Return the definition as JSON, with the keys of a YAML file; this form is stored, hashed and exported.

        Fields with their default value are left out, except `needs`, which is written even if it is empty: if no step
        had a `needs`, the steps would be read as a sequence, each needing the one before.
        """
        lists = {"steps": self.steps, "on_failure": self.on_failure, "finally": self.finally_}
        document: dict[str, Json] = self.model_dump(
            mode="json", by_alias=True, exclude_defaults=True, exclude={"steps", "on_failure", "finally_"}
        )
        for key, steps in lists.items():
            if steps:
                document[key] = [step.canonical() for step in steps]
        return document

    def hash(self) -> str:
        """Return the sha256 of the canonical form with sorted keys, in hex: equal content has an equal hash."""
        return hashlib.sha256(orjson.dumps(self.canonical(), option=orjson.OPT_SORT_KEYS)).hexdigest()

    def roots(self) -> list[str]:
        """Return the ids of the steps that a new run begins with: those without needs that are no target of a goto."""
        targets = {step.goto for step in self.steps}
        return [step.id for step in self.steps if not step.needs and step.id not in targets]
