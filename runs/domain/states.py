"""The states of runs, step runs and dead letters, and every transition between them that is allowed."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum, StrEnum


class RunState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    COMPENSATING = "compensating"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    COMPENSATED = "compensated"


class StepState(StrEnum):
    RUNNING = "running"
    RETRYING = "retrying"
    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"
    COMPENSATED = "compensated"


class DeadLetterState(StrEnum):
    OPEN = "open"
    RETRIED = "retried"
    DISCARDED = "discarded"


class Pause(StrEnum):
    """What was paused: the run itself, or its workflow. A pause is a time on the run (`paused_at`), not a state."""

    RUN = "run"
    WORKFLOW = "workflow"


class Lane(IntEnum):
    """The queue of a queued run: FREE is its workspace's, GATED its gate's; a PAUSED run is in neither."""

    FREE = 0
    GATED = 1
    PAUSED = 2


# The state that the API shows for a step without a row.
PENDING = "pending"

RUN_TRANSITIONS: dict[RunState, frozenset[RunState]] = {
    RunState.QUEUED: frozenset({RunState.RUNNING, RunState.CANCELLED}),
    RunState.RUNNING: frozenset(
        {RunState.WAITING, RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED, RunState.COMPENSATING}
    ),
    # It may end at once: when the step whose wait ended was its last one.
    RunState.WAITING: frozenset(
        {RunState.RUNNING, RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED, RunState.COMPENSATING}
    ),
    RunState.COMPENSATING: frozenset({RunState.COMPENSATED, RunState.FAILED}),
    RunState.SUCCEEDED: frozenset(),
    # By a retry by hand, of its work or of compensations that failed.
    RunState.FAILED: frozenset({RunState.RUNNING, RunState.WAITING, RunState.COMPENSATING}),
    RunState.CANCELLED: frozenset(),
    RunState.COMPENSATED: frozenset(),
}

# None: the step has no row yet.
STEP_TRANSITIONS: dict[StepState | None, frozenset[StepState]] = {
    None: frozenset(
        {
            StepState.RUNNING,
            StepState.SKIPPED,
            # A pure step is recorded only when its attempt has ended, so it is never `running`.
            StepState.SUCCEEDED,
            StepState.FAILED,
            StepState.RETRYING,
            StepState.WAITING,
        }
    ),
    StepState.RUNNING: frozenset(
        {StepState.SUCCEEDED, StepState.FAILED, StepState.RETRYING, StepState.WAITING, StepState.CANCELLED}
    ),
    StepState.RETRYING: frozenset(
        {StepState.RUNNING, StepState.SUCCEEDED, StepState.FAILED, StepState.SKIPPED, StepState.CANCELLED}
    ),
    StepState.WAITING: frozenset(
        # To retrying: it had waited for a deploy of the code that has its action.
        {
            StepState.RUNNING,
            StepState.RETRYING,
            StepState.SUCCEEDED,
            StepState.FAILED,
            StepState.SKIPPED,
            StepState.CANCELLED,
        }
    ),
    StepState.SUCCEEDED: frozenset({StepState.COMPENSATED}),
    # By a retry by hand, of the step or of the sub-workflow run that it had waited for.
    StepState.FAILED: frozenset({StepState.RETRYING, StepState.WAITING}),
    StepState.SKIPPED: frozenset(),
    StepState.CANCELLED: frozenset(),
    StepState.COMPENSATED: frozenset(),
}

# What a run's work (its `steps`) may come to. The run stays live until compensate, on_failure and finally are done.
RUN_OUTCOMES = frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED})
RUN_LIVE = frozenset({RunState.RUNNING, RunState.WAITING, RunState.COMPENSATING})
RUN_ENDED = frozenset(RunState) - RUN_LIVE - {RunState.QUEUED}
STEP_ENDED = frozenset(
    {StepState.SUCCEEDED, StepState.FAILED, StepState.SKIPPED, StepState.CANCELLED, StepState.COMPENSATED}
)


def values(states: Iterable[StrEnum]) -> list[str]:
    """Return the states as the database stores them, sorted."""
    return sorted(state.value for state in states)
