"""The request bodies of the API. The body of a publish is a definition, and checked in workflows/."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, RootModel

from actions.catalogue.wait_for_signal import SignalKey, SignalName
from actions.texts import Text
from runs.control.preconditions import AT_ONCE
from runs.schemas.base import Body

MAX_KEY = 255
MAX_LABELS = 64
_NO_CONTROL = r"^[^\x00-\x1f\x7f]*$"

Key = Annotated[str, Field(min_length=1, max_length=MAX_KEY, pattern=_NO_CONTROL)]
LabelKey = Annotated[str, Field(min_length=1, max_length=63, pattern=_NO_CONTROL)]
# A number or a boolean becomes a text, as JSON writes it.
LabelValue = Annotated[Text, Field(max_length=255)]
Labels = Annotated[dict[LabelKey, LabelValue], Field(max_length=MAX_LABELS)]
Priority = Annotated[int, Field(ge=-100, le=100)]
Why = Annotated[str, Field(max_length=2000)]
Reason = Annotated[str, Field(min_length=1, max_length=2000, pattern=r"\S")]


class Keyed(Body):
    """A request with an idempotency key. The header Idempotency-Key means the same.

    If the key is known with another input, `on_conflict` says what happens: by default the request is refused (409),
    with `return` its result is what the first request has made.
    """

    idempotency_key: Key | None = None
    on_conflict: Literal["refuse", "return"] = "refuse"

    @property
    def compares(self) -> bool:
        """Whether a known key with another input is a conflict."""
        return self.on_conflict == "refuse"


class StartRun(Keyed):
    """The start of one run. `input` must match the workflow's `inputs` schema.

    If the workflow already has a run with this `idempotency_key`, that run is returned, and none is started; if its
    input was another one, the request is refused (409), unless `on_conflict` is `return`. Within a workspace, runs
    with a higher `priority` are admitted first; if it is left out, the definition's priority counts, else 0.
    """

    input: Any = Field(default_factory=dict)
    labels: Labels = Field(default_factory=dict)
    priority: Priority | None = None


class StartRuns(RootModel[list[StartRun]]):
    """A list with one start per run; each is parsed on its own, so that one that is refused leaves the others."""


class StartJob(Keyed):
    """A job: one action as a run of its own, with `payload` as its config.

    `max_retries` is the number of attempts after the first; if it is left out, the action's own retry policy holds.
    """

    type: Annotated[str, Field(min_length=1, max_length=64)]
    payload: Any = Field(default_factory=dict)
    max_retries: Annotated[int, Field(ge=0, le=999)] | None = None
    priority: Priority | None = None


class ByHand(Body):
    """The reason for a verb, in `why`; it is stored with the run."""

    why: Why = ""


class RetryRun(ByHand):
    """A retry of a run's failed steps. `inputs` replaces the input of steps, by step id; null keeps the old one."""

    inputs: dict[str, Any] = Field(default_factory=dict, max_length=1000)


class ReplayRun(ByHand, Keyed):
    """A replay: a new run from `step` on (from the beginning if it is left out), with the `same` or `latest` version.

    `input` is the new run's input; null means that of the old run. If a replay with this `idempotency_key` exists
    already, its run is returned.
    """

    step: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    version: Literal["same", "latest"] = "same"
    input: Any = None


class SendSignal(Keyed):
    """A signal to one run.

    If the run already has a signal with this `idempotency_key`, that signal is returned, and nothing changes.
    """

    name: SignalName
    payload: Any = None


class SendSignalByKey(SendSignal):
    """A signal to all runs of the workspace that wait for this name with this key; kept for later if none waits."""

    key: SignalKey


class Decide(Body):
    """An approval or rejection, with a `comment`. `item` is the index of an item in a for_each, else -1."""

    comment: Why = ""
    item: Annotated[int, Field(ge=-1, le=2**31 - 1)] = -1


class RetryDeadLetter(ByHand):
    """A retry of a dead letter's step. `input` replaces the step's input; null keeps the old one."""

    input: Any = None


class DiscardDeadLetter(Body):
    """The discard of a dead letter, which needs a reason in `why`."""

    why: Reason


class Bulk(ByHand):
    """The rows that a verb is applied to: either their `ids`, or a `filter`.

    `filter` takes the query parameters of the list endpoint; several states are one text: "failed,cancelled".
    """

    ids: Annotated[list[str], Field(min_length=1, max_length=AT_ONCE)] | None = None
    filter: Annotated[dict[str, str], Field(min_length=1, max_length=64)] | None = None


class BulkDiscard(Bulk):
    """The discard of many dead letters: `ids` or `filter` as for other verbs, and a reason in `why`."""

    why: Reason


class ChangeWorkspace(Body):
    """New settings of the workspace; what is left out stays. null takes a limit away, and keeps runs for ever.

    `alert_workflow` is the id or name of a published workflow, which is started for every new dead letter.
    """

    concurrent_runs: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    runs_per_minute: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    keep_days: Annotated[int, Field(ge=1, le=36_500)] | None = None
    alert_workflow: Annotated[str, Field(min_length=1, max_length=200)] | None = None


class MakeToken(Body):
    """A new token. Without `scopes` it has those of the token that asks, but not `admin`.

    It ends after `days`, a year unless told otherwise; null: never.
    """

    name: Annotated[str, Field(min_length=1, max_length=100, pattern=_NO_CONTROL)]
    scopes: Annotated[list[str], Field(min_length=1, max_length=20)] | None = None
    days: Annotated[int, Field(ge=1, le=36_500)] | None = 365


class RenameWorkflow(Body):
    """A new name for a workflow. Its old name goes on meaning it, until another workflow takes that."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
