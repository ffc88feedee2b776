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
    """What was paused: the run itself, or its workflow. A pause is a time beside the state, and no state."""

    RUN = "run"
    WORKFLOW = "workflow"


class Lane(IntEnum):
    """Which line a queued run stands in: that of its workspace, that of its gate, or none while it is paused."""

    FREE = 0
    GATED = 1
    PAUSED = 2


# What the API says of a step that has no row yet.
PENDING = "pending"

RUN_TRANSITIONS: dict[RunState, frozenset[RunState]] = {
    RunState.QUEUED: frozenset({RunState.RUNNING, RunState.CANCELLED}),
    RunState.RUNNING: frozenset(
        {RunState.WAITING, RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED, RunState.COMPENSATING}
    ),
    # It ends at once where the step that woke was the last one.
    RunState.WAITING: frozenset(
        {RunState.RUNNING, RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED, RunState.COMPENSATING}
    ),
    RunState.COMPENSATING: frozenset({RunState.COMPENSATED, RunState.FAILED}),
    RunState.SUCCEEDED: frozenset(),
    # A human's retry, of its work or of compensations that failed.
    RunState.FAILED: frozenset({RunState.RUNNING, RunState.COMPENSATING}),
    RunState.CANCELLED: frozenset(),
    RunState.COMPENSATED: frozenset(),
}

# None stands for: no row yet.
STEP_TRANSITIONS: dict[StepState | None, frozenset[StepState]] = {
    None: frozenset(
        {
            StepState.RUNNING,
            StepState.SKIPPED,
            # A pure step is recorded when it has ended, and never stands as running.
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
        # It is tried again where it waited for the code that has its action.
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
    StepState.FAILED: frozenset({StepState.RETRYING}),  # a human's retry
    StepState.SKIPPED: frozenset(),
    StepState.CANCELLED: frozenset(),
    StepState.COMPENSATED: frozenset(),
}

# What the work of a run may come to. Until what follows it is done (compensate, on_failure, finally) the run is live.
RUN_OUTCOMES = frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED})
RUN_LIVE = frozenset({RunState.RUNNING, RunState.WAITING, RunState.COMPENSATING})
RUN_ENDED = frozenset(RunState) - RUN_LIVE - {RunState.QUEUED}
STEP_ENDED = frozenset(
    {StepState.SUCCEEDED, StepState.FAILED, StepState.SKIPPED, StepState.CANCELLED, StepState.COMPENSATED}
)


def values(states: Iterable[StrEnum]) -> list[str]:
    """The states as the database has them, sorted."""
    return sorted(state.value for state in states)
