"""The catalogue of verbs: what people and programs do to runs, steps, dead letters and workflows, each told once.

Every door (the admin's buttons and list actions, the API, the commands) reads a verb's name, its sentence, the states
in which it is legal and its function from here. ABSENT lists the doors that do not have a verb, and why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from django.db.models import QuerySet

from runs.control import (
    approvals,
    archives,
    dead_letters,
    parents_again,
    pauses,
    preconditions,
    replays,
    retries,
    signals,
    starts,
    stops,
)
from runs.domain.actor import Actor
from runs.domain.states import StepState
from runs.models import DeadLetter, Run
from workflows.workspaces.permissions import Right


class Target(StrEnum):
    """What a verb is done to."""

    RUN = "run"
    STEP = "step"
    DEAD_LETTER = "dead letter"
    WORKFLOW = "workflow"


_RIGHTS = {
    Target.RUN: Right.CHANGE_RUNS,
    Target.STEP: Right.DECIDE,
    Target.DEAD_LETTER: Right.CHANGE_DEAD_LETTERS,
    Target.WORKFLOW: Right.CHANGE_RUNS,
}


# Whatever it is done to.
_RIGHTS_BY_NAME = {
    "start": Right.START,
    **dict.fromkeys(("archive", "restore", "delete"), Right.PUBLISH),
}


class Door(StrEnum):
    """A way in by which a verb is done."""

    BUTTON = "a button of the admin"
    LIST = "an action of the admin's lists"
    API = "the API, one at a time"
    BULK = "the API, many at once"
    COMMAND = "a manage.py command"


@dataclass(frozen=True)
class Verb:
    """One verb, as every door names and describes it.

    `name` is the word in URLs, commands, logs and the history; `past` says that it was done; `does` is the sentence
    that every door shows; `function` does it. It is legal in `states` (of a run, step or dead letter; a workflow has
    none).
    """

    name: str
    past: str
    target: Target
    does: str
    function: Callable[..., object]
    states: frozenset[StrEnum] = frozenset()
    dangerous: bool = False
    icon: str = ""
    command: str = ""

    @property
    def title(self) -> str:
        """The text of its button."""
        return self.name.capitalize()

    @property
    def right(self) -> Right:
        """The right that a door asks for before it does it."""
        return _RIGHTS_BY_NAME.get(self.name) or _RIGHTS[self.target]

    @property
    def command_name(self) -> str:
        """`manage.py ...`"""
        return self.command or f"{self.name}_{self.target.replace(' ', '_')}"


class Notes(Protocol):
    """Returns what there is to know of those of these rows that a verb has just changed, by id."""

    def __call__(self, ids: Iterable[UUID], /) -> Mapping[UUID, str]: ...


def _nothing(_: Iterable[UUID], /) -> Mapping[UUID, str]:
    return {}


class OverIds(Protocol):
    """A verb's function: does it to a set, and returns the ids that this call changed."""

    def __call__(self, ids: Sequence[UUID], /, *, actor: Actor) -> frozenset[UUID]: ...


@dataclass(frozen=True)
class RunVerb(Verb):
    """A verb over a set of runs that needs nothing but a reason.

    `legal` narrows `states` down by the rest of the run; `why_not(run id, state)` says why a run was not changed.
    `paused`: of the runs in these states, only those that are paused (or are not) can be changed; None: both. `notes`
    is asked once it is done.
    """

    function: OverIds
    why_not: Callable[[UUID, str], str] = field(kw_only=True)
    legal: Callable[[Run], bool] = field(kw_only=True)
    paused: bool | None = None
    notes: Notes = _nothing

    def narrow(self, runs: QuerySet[Run]) -> QuerySet[Run]:
        """Leave out runs that the verb would not change, whatever their state."""
        return runs if self.paused is None else runs.filter(paused_at__isnull=not self.paused)


@dataclass(frozen=True)
class DeadLetterVerb(Verb):
    """A verb over a set of dead letters that needs nothing but a reason. `why_not` wants its run loaded."""

    function: OverIds
    why_not: Callable[[DeadLetter], str] = field(kw_only=True)
    legal: Callable[[DeadLetter], bool] = field(kw_only=True)
    notes: Notes = _nothing


CANCEL = RunVerb(
    "cancel",
    "cancelled",
    Target.RUN,
    "Stop the work of a run: no further step begins, and a running step is asked to stop and its outcome is written. "
    "Then the `finally` steps run, and the run ends.",
    stops.cancel,
    frozenset(preconditions.CANCELLABLE),
    dangerous=True,
    icon="cancel",
    why_not=preconditions.cannot_cancel,
    legal=preconditions.can_cancel,
)
TERMINATE = RunVerb(
    "terminate",
    "terminated",
    Target.RUN,
    "End a run at once: no compensation, `on_failure` or `finally` step begins any more, and a retry cannot take this "
    "back. A running step is asked to stop, and its outcome is still written.",
    stops.terminate,
    frozenset(preconditions.TERMINABLE),
    dangerous=True,
    icon="dangerous",
    why_not=preconditions.cannot_terminate,
    legal=preconditions.can_terminate,
)
PAUSE = RunVerb(
    "pause",
    "paused",
    Target.RUN,
    "Hold a run: no step of it begins until it is resumed. A running step ends, and what follows it is held.",
    pauses.pause,
    frozenset(preconditions.PAUSABLE),
    icon="pause",
    why_not=preconditions.cannot_pause,
    legal=preconditions.can_pause,
    paused=False,
)
RESUME = RunVerb(
    "resume",
    "resumed",
    Target.RUN,
    "Let a paused run go on where it was held, also where its workflow is paused. A retry waits until it would have "
    "been due.",
    pauses.resume,
    frozenset(preconditions.PAUSABLE),
    icon="play_arrow",
    why_not=preconditions.cannot_resume,
    legal=preconditions.can_resume,
    paused=True,
)
RETRY = RunVerb(
    "retry",
    "retried",
    Target.RUN,
    "Let a failed run go on from its failed steps, with the inputs that these had.",
    retries.retry,
    frozenset(preconditions.RETRYABLE),
    icon="refresh",
    why_not=preconditions.cannot_retry,
    legal=preconditions.can_retry,
    notes=parents_again.kept,
)
REPLAY = Verb(
    "replay",
    "replayed",
    Target.RUN,
    "Start a new run from a chosen step of a run that has ended; the old run stays as it is.",
    replays.replay,
    frozenset(preconditions.REPLAYABLE),
    icon="replay",
)
SIGNAL = Verb(
    "signal",
    "signalled",
    Target.RUN,
    "Send a signal to a run: it ends the wait of the step that has waited longest for its name, or is kept until a "
    "step waits for it.",
    signals.send,
    frozenset(preconditions.SIGNALLABLE),
    icon="notifications_active",
    command="send_signal",
)
APPROVE = Verb(
    "approve",
    "approved",
    Target.STEP,
    "Approve a step that waits for approval, and let its run go on.",
    approvals.decide,
    frozenset({StepState.WAITING}),
    icon="check",
)
REJECT = Verb(
    "reject",
    "rejected",
    Target.STEP,
    "Reject a step that waits for approval; the step fails, unless its definition says that the run goes on.",
    approvals.decide,
    frozenset({StepState.WAITING}),
    dangerous=True,
    icon="close",
)
RETRY_DEAD_LETTER = DeadLetterVerb(
    "retry",
    "retried",
    Target.DEAD_LETTER,
    "Let the run of a dead letter go on from the step that gave up, with the input that the step had.",
    dead_letters.retry,
    preconditions.OPEN,
    icon="refresh",
    why_not=preconditions.cannot_retry_dead_letter,
    legal=preconditions.can_retry_dead_letter,
    notes=dead_letters.kept_above,
)
DISCARD = DeadLetterVerb(
    "discard",
    "discarded",
    Target.DEAD_LETTER,
    "Close a dead letter for good; its run stays as it is.",
    dead_letters.discard,
    preconditions.OPEN,
    dangerous=True,
    icon="delete",
    why_not=preconditions.cannot_discard,
    legal=preconditions.is_open,
)
START = Verb(
    "start",
    "started",
    Target.WORKFLOW,
    "Start a run of the workflow's current version.",
    starts.start,
    icon="play_circle",
    command="run_workflow",
)
PAUSE_WORKFLOW = Verb(
    "pause",
    "paused",
    Target.WORKFLOW,
    "Hold a workflow: its runs are held, and runs that are started from now on are accepted and queue. A running step "
    "ends, and what follows it is held.",
    pauses.pause_workflow,
    icon="pause",
)
RESUME_WORKFLOW = Verb(
    "resume",
    "resumed",
    Target.WORKFLOW,
    "Let the runs of a paused workflow go on, except those that were paused themselves.",
    pauses.resume_workflow,
    icon="play_arrow",
)

ARCHIVE_WORKFLOW = Verb(
    "archive",
    "archived",
    Target.WORKFLOW,
    "Archive a workflow: it takes no new runs, is left out of lists, and its name is free for another. Its runs go on, "
    "and everything is kept.",
    archives.archive,
    icon="archive",
)
RESTORE_WORKFLOW = Verb(
    "restore",
    "restored",
    Target.WORKFLOW,
    "Take a workflow out of the archive, under its old name, if no other has taken it.",
    archives.restore,
    icon="unarchive",
)
DELETE_WORKFLOW = Verb(
    "delete",
    "deleted",
    Target.WORKFLOW,
    "Delete a workflow that has no runs any more, with its versions, its draft and its history.",
    archives.delete,
    dangerous=True,
    icon="delete",
)

OVER_RUNS = (CANCEL, TERMINATE, PAUSE, RESUME, RETRY)
OVER_DEAD_LETTERS = (RETRY_DEAD_LETTER, DISCARD)
VERBS: tuple[Verb, ...] = (
    START,
    *OVER_RUNS,
    REPLAY,
    SIGNAL,
    APPROVE,
    REJECT,
    *OVER_DEAD_LETTERS,
    PAUSE_WORKFLOW,
    RESUME_WORKFLOW,
    ARCHIVE_WORKFLOW,
    RESTORE_WORKFLOW,
    DELETE_WORKFLOW,
)


@dataclass(frozen=True)
class Absence:
    """Verbs that some doors do not have, and the reason."""

    verbs: tuple[Verb, ...]
    doors: tuple[Door, ...]
    reason: str


ABSENT = (
    Absence(
        (REPLAY, SIGNAL),
        (Door.LIST, Door.BULK),
        "each run needs a choice of its own (a step, a signal's name); a signal by key reaches many runs at once",
    ),
    Absence(
        (APPROVE, REJECT), (Door.BULK,), "a program decides a step by its run and id; people decide many in the list"
    ),
    Absence(
        (PAUSE_WORKFLOW, RESUME_WORKFLOW, ARCHIVE_WORKFLOW, RESTORE_WORKFLOW, DELETE_WORKFLOW),
        (Door.LIST, Door.BULK),
        "workflows are few, and to hold, archive or delete several is a decision about each of them",
    ),
    Absence((START,), (Door.LIST,), "a start needs an input, so it begins on the page of one workflow"),
)


def has(verb: Verb, door: Door) -> bool:
    """Whether the door offers the verb."""
    return not any(verb in absence.verbs and door in absence.doors for absence in ABSENT)
