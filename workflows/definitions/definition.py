"""The canonical definition: what every accepted form of a workflow is normalised into before it is stored."""

from __future__ import annotations

import hashlib
import re
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, model_validator

from actions.base import Json
from actions.durations import Seconds

STEP_ID = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


class Join(StrEnum):
    """When a step with parents may run. A skipped parent skips children of the default join."""

    ALL_SUCCEEDED = "all_succeeded"
    NONE_FAILED = "none_failed"
    ALL_DONE = "all_done"
    ANY_SUCCEEDED = "any_succeeded"
    ANY_FAILED = "any_failed"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


# What may be written as `retry: <name>`.
RETRY_PRESETS: dict[str, dict[str, Json]] = {
    "none": {"max_attempts": 1},
    "ladder": {"delays": [60, 300, 1800]},
}


class RetryDefinition(_Part):
    """A step's retry policy; what is not given comes from its action."""

    max_attempts: int | None = Field(default=None, ge=1, le=1000)
    initial: Seconds | None = None
    factor: float | None = Field(default=None, ge=1, le=100, allow_inf_nan=False)
    max: Seconds | None = None
    jitter: float | None = Field(default=None, ge=0, le=1, allow_inf_nan=False)
    on: tuple[str, ...] | None = None
    delays: tuple[Seconds, ...] | None = None

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, given: object) -> object:
        if not isinstance(given, str):
            return given
        if given not in RETRY_PRESETS:
            raise ValueError(f"{given[:100]!r} is no preset; write {' or '.join(RETRY_PRESETS)}, or a mapping")
        return RETRY_PRESETS[given]


class Compensation(_Part):
    """What undoes a step."""

    action: str
    with_: dict[str, Any] | str = Field(default_factory=dict, alias="with")
    retry: RetryDefinition | None = None
    timeout: Seconds | None = None


class ForEach(_Part):
    """The list that a step is performed over, item by item; `items` is a list or an expression for one."""

    items: list[Any] | str
    max_parallel: int = Field(default=10, ge=1, le=1000)
    batch: int = Field(default=100, ge=1, le=1000)
    # A batch begins no sooner than this after the one before began.
    min_batch_seconds: Seconds = 0.0
    on_item_error: Literal["fail", "continue"] = "fail"


class StepDefinition(_Part):
    """One step. `needs` is explicit here; `payload` is the short form's config and input by reference."""

    id: str = Field(pattern=rf"^{STEP_ID.pattern}$")
    name: str | None = Field(default=None, max_length=200)
    action: str
    with_: dict[str, Any] | str = Field(default_factory=dict, alias="with")
    payload: str | None = None
    needs: tuple[str, ...] = ()
    if_: str | None = Field(default=None, alias="if")
    for_each: ForEach | None = None
    join: Join = Join.ALL_SUCCEEDED
    retry: RetryDefinition | None = None
    timeout: Seconds | None = None
    on_error: str = Field(default="fail", pattern=rf"^(fail|continue|goto:{STEP_ID.pattern})$")
    compensate: Compensation | None = None

    def canonical(self) -> dict[str, Json]:
        """The step as JSON without defaults, but with its `needs`."""
        said: dict[str, Json] = self.model_dump(
            mode="json", by_alias=True, exclude_defaults=True, exclude={"id", "name", "needs"}
        )
        name: dict[str, Json] = {} if self.name is None else {"name": self.name}
        return {"id": self.id, **name, "needs": [*self.needs], **said}

    @property
    def goto(self) -> str | None:
        """The step that a failure jumps to, if any."""
        return self.on_error.removeprefix("goto:") if self.on_error.startswith("goto:") else None


class Policy(StrEnum):
    """What becomes of a start that finds its gate full: it queues, is skipped, or takes the place of older runs."""

    QUEUE = "queue"
    SKIP = "skip"
    CANCEL_RUNNING = "cancel_running"


class Concurrency(_Part):
    """How many runs of the workflow, or of one key, may be live at once."""

    limit: int = Field(ge=1, le=1_000_000)
    key: str | None = Field(default=None, min_length=1, max_length=8192)
    policy: Policy = Policy.QUEUE


class Definition(_Part):
    """A whole workflow: steps in the order of the file, and what is said once for all of them."""

    MAX_STEPS: ClassVar[int] = 12_000

    name: str = Field(min_length=1, max_length=100, pattern=r"^[^_\x00-\x1f\x7f][^\x00-\x1f\x7f]*$")
    description: str = Field(default="", max_length=10_000)
    inputs: dict[str, Any] | None = None
    output: Any = None
    labels: dict[str, str] = Field(default_factory=dict)
    triggers: tuple[dict[str, Any], ...] = ()
    concurrency: Concurrency | None = None
    priority: int = Field(default=0, ge=-100, le=100)
    # Seconds from the run's start to its end; after that it fails, whatever it is at.
    timeout: Annotated[Seconds, Field(gt=0)] | None = None
    steps: tuple[StepDefinition, ...] = Field(min_length=1, max_length=MAX_STEPS)
    on_failure: tuple[StepDefinition, ...] = ()
    finally_: tuple[StepDefinition, ...] = Field(default=(), alias="finally")

    def canonical(self) -> dict[str, Json]:
        """The definition as JSON without defaults, keys as in a file; what is stored, hashed and exported.

        `needs` is written even where it is empty: steps without any would be read as following one another.
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
        """sha256 of the canonical form with sorted keys, in hex: equal content, equal hash."""
        return hashlib.sha256(orjson.dumps(self.canonical(), option=orjson.OPT_SORT_KEYS)).hexdigest()

    def roots(self) -> list[str]:
        """Steps that a new run begins with: those that need nothing and are not only jumped to."""
        targets = {step.goto for step in self.steps}
        return [step.id for step in self.steps if not step.needs and step.id not in targets]
