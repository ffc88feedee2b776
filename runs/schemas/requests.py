"""The request bodies of the API, besides definitions."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, RootModel

from actions.catalogue.wait_for_signal import SignalKey, SignalName
from runs.control.preconditions import AT_ONCE
from runs.schemas.base import Body

MAX_LABELS = 64
_NO_CONTROL = r"^[^\x00-\x1f\x7f]*$"

Key = Annotated[str, Field(min_length=1, max_length=255, pattern=_NO_CONTROL)]
LabelKey = Annotated[str, Field(min_length=1, max_length=63, pattern=_NO_CONTROL)]
LabelValue = Annotated[str, Field(max_length=255)]
Labels = Annotated[dict[LabelKey, LabelValue], Field(max_length=MAX_LABELS)]
Priority = Annotated[int, Field(ge=-100, le=100)]
Why = Annotated[str, Field(max_length=2000)]
Reason = Annotated[str, Field(min_length=1, max_length=2000, pattern=r"\S")]


class StartRun(Body):
    """`input` is checked by the workflow's `inputs` schema. A known idempotency key answers the first run.

    Runs of a higher `priority` are admitted first, within the workspace; the definition's, or 0, when left out.
    """

    input: Any = Field(default_factory=dict)
    idempotency_key: Key | None = None
    labels: Labels = Field(default_factory=dict)
    priority: Priority | None = None


class StartRuns(RootModel[list[StartRun]]):
    """One for each run, read one by one."""


class StartJob(Body):
    """One action as a run of its own. `max_retries` counts after the first attempt; the action's own when left out."""

    type: Annotated[str, Field(min_length=1, max_length=64)]
    payload: Any = Field(default_factory=dict)
    max_retries: Annotated[int, Field(ge=0, le=999)] | None = None
    idempotency_key: Key | None = None
    priority: Priority | None = None


class ByHand(Body):
    """Why somebody does this; it is kept with the run."""

    why: Why = ""


class RetryRun(ByHand):
    """`inputs` gives failed steps another input, by step id; null or left out keeps what the step had."""

    inputs: dict[str, Any] = Field(default_factory=dict, max_length=1000)


class ReplayRun(ByHand):
    """From which step (the beginning when left out), with which version, and with which run input (null: the old).

    A known idempotency key answers the replay that it made.
    """

    step: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    version: Literal["same", "latest"] = "same"
    input: Any = None
    idempotency_key: Key | None = None


class SendSignal(Body):
    """A signal to one run; a known idempotency key of the run answers the first signal and changes nothing."""

    name: SignalName
    payload: Any = None
    idempotency_key: Key | None = None


class SendSignalByKey(SendSignal):
    """A signal to whatever runs wait for the name with this key."""

    key: SignalKey


class Decide(Body):
    """Why somebody approves or rejects; `item` is the one of a for_each."""

    comment: Why = ""
    item: int = -1


class RetryDeadLetter(ByHand):
    """`input` replaces the step's input; null or left out keeps it."""

    input: Any = None


class DiscardDeadLetter(Body):
    """A discard needs a reason."""

    why: Reason


class Bulk(ByHand):
    """Which ones: `ids`, or `filter` with the filters of the list (`state` as one text, separated by commas)."""

    ids: Annotated[list[str], Field(min_length=1, max_length=AT_ONCE)] | None = None
    filter: Annotated[dict[str, str], Field(min_length=1, max_length=64)] | None = None


class BulkDiscard(Bulk):
    """As Bulk, with a reason."""

    why: Reason
