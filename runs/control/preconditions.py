"""Which verbs are legal for a run or dead letter in its present state, and the reason given when one is not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from uuid import UUID

from actions.base import Json
from runs.domain.states import RUN_ENDED, RUN_LIVE, DeadLetterState, RunState, StepState
from runs.models import DeadLetter, Run, Signal, StepRun
from runs.planning import plan, reads
from runs.planning.reads import Reads
from runs.planning.steps import UNDO
from runs.planning.written_config import ANY_SIGNAL
from workflows.definitions.errors import nearest

TERMINABLE = RUN_LIVE | {RunState.QUEUED}
CANCELLABLE = frozenset({RunState.QUEUED, RunState.RUNNING, RunState.WAITING})
RETRYABLE = frozenset({RunState.FAILED})
REPLAYABLE = RUN_ENDED
# Both pause and resume; whether it is paused is a time beside the state.
PAUSABLE = RUN_LIVE | {RunState.QUEUED}
# A run in one of these may still come to wait for a signal.
SIGNALLABLE = frozenset({RunState.QUEUED, *RUN_LIVE})
# What verbs over dead letters begin from.
OPEN = frozenset({DeadLetterState.OPEN})
# For an id that names nothing here, or something of another workspace.
UNKNOWN = "unknown"
NO_RUN = "there is no such run"
# As many as one call, one command or one click changes in one transaction.
AT_ONCE = 1000
_NAMED = 20


def run_states(run_ids: Iterable[UUID]) -> dict[UUID, str]:
    """Return the states of these runs by id; ids that do not exist are left out."""
    return dict(Run.objects.filter(pk__in=list(run_ids)).values_list("pk", "state"))


def state_of(run_id: UUID) -> RunState:
    """Return the run's present state, for a refusal. Raises Run.DoesNotExist."""
    return RunState(Run.objects.values_list("state", flat=True).get(pk=run_id))


def dead_letter_states(dead_letter_ids: Iterable[UUID]) -> dict[UUID, str]:
    """Return the states of these dead letters by id; ids that do not exist are left out."""
    return dict(DeadLetter.objects.filter(pk__in=list(dead_letter_ids)).values_list("pk", "state"))


def can_cancel(run: Run) -> bool:
    """Whether the run's work can still be stopped."""
    return run.state in CANCELLABLE and run.ending is None


def can_terminate(run: Run) -> bool:
    """Whether the run can still be ended at once."""
    return run.state in TERMINABLE


def can_pause(run: Run) -> bool:
    """Whether the run can be held."""
    return run.state in PAUSABLE and run.paused_at is None


def can_resume(run: Run) -> bool:
    """Whether the run is held."""
    return run.state in PAUSABLE and run.paused_at is not None


def can_retry(run: Run) -> bool:
    """Whether a retry may be tried. Whether any of its steps can go on is found by the retry itself."""
    return run.state in RETRYABLE and "terminated" not in (run.error or {})


def cannot_cancel(run_id: UUID, state: str) -> str:
    """Return why a cancel changed nothing."""
    found = Run.objects.filter(pk=run_id, state=state).values_list("ending", "paused_at").first()
    ending, paused_at = found or (None, None)
    if ending is not None and paused_at is not None:
        return f"the run is {state}, on its way to its end ({ending}), and paused: resume it, or terminate it"
    if ending == RunState.CANCELLED:
        return f"the run is {state}, and is being cancelled already: wait for what it does finally, or terminate it"
    if ending is not None:
        return f"the run is {state}, and on its way to its end ({ending}): wait for it, or terminate it"
    return f"the run is {state}; only a run that has not ended can be cancelled"


def cannot_terminate(_: UUID, state: str) -> str:
    """Return why a terminate changed nothing."""
    return f"the run is {state}; only a run that has not ended can be terminated"


def cannot_pause(_: UUID, state: str) -> str:
    """Return why a pause changed nothing."""
    if state in RUN_ENDED:
        return f"the run is {state}; only a run that has not ended can be paused"
    return f"the run is {state} and paused already; resume lets it go on"


def cannot_resume(_: UUID, state: str) -> str:
    """Return why a resume changed nothing."""
    if state in RUN_ENDED:
        return f"the run is {state}; only a paused run that has not ended can be resumed"
    return f"the run is {state} and not paused"


def cannot_retry(run_id: UUID, state: str, *, edited: Mapping[str, Json] | None = None) -> str:
    """Return why a retry changed nothing; `edited` has the steps that were given another input."""
    if state not in RETRYABLE:
        hint = "a replay makes a new run of it" if state in RUN_ENDED else "wait for its end"
        return f"the run is {state}; only a failed run can be retried: {hint}"
    if (past := _past_retry(run_id)) is not None:
        return past
    edited = {step: given for step, given in (edited or {}).items() if given is not None}
    failed = _failed_steps(run_id)
    if edited and any(step.startswith(UNDO) for step in failed):
        return "compensations go again one after the other: give one another input by the retry of its dead letter"
    wrong = [step for step in edited if step not in failed]
    if wrong:
        return f"step {wrong[0][:80]!r} did not fail, so its input stays; failed {_listed(failed)}"
    if (fixed := _fixed_list(run_id, edited)) is not None:
        return fixed
    for step, given in edited.items():
        if (unread := _reads(run_id, step).unread(given)) is not None:
            return unread
    return "the run failed, but no step of it can go on like this: a replay makes a new run of it"


def cannot_retry_dead_letter(dead_letter: DeadLetter, *, given: Json = None) -> str:
    """Return why a retry changed nothing; `given` is the other input that it came with, if any.

    The dead letter has its run loaded.
    """
    if dead_letter.state not in OPEN:
        return f"the dead letter is {dead_letter.state}; only an open one can be retried"
    state = dead_letter.run.state
    if state in RETRYABLE:
        if not dead_letter.step:
            return "the run itself failed, and no step of it: replay the run, with a version that mends it, or discard"
        fixed = None if given is None else cannot_edit(dead_letter, given=given)
        follows = (
            f"step {dead_letter.step!r} follows the run's work, and comes again when the run is retried or replayed"
        )
        return _past_retry(dead_letter.run_id, step=dead_letter.step) or fixed or follows
    hint = "discard the dead letter, or replay the run" if state in RUN_ENDED else "wait until the run has failed"
    return f"the run of this dead letter is {state}: {hint}"


def is_open(dead_letter: DeadLetter) -> bool:
    """Whether nobody has retried or discarded it yet."""
    return dead_letter.state in OPEN


def can_retry_dead_letter(dead_letter: DeadLetter) -> bool:
    """Whether its step may go on: it is open, and its run, which is loaded, has failed at a step."""
    return is_open(dead_letter) and bool(dead_letter.step) and dead_letter.run.state in RETRYABLE


def cannot_edit(dead_letter: DeadLetter, *, given: Json) -> str | None:
    """Return why the step of the dead letter cannot be given this input, or None if it can."""
    fixed = _fixed_list(dead_letter.run_id, [dead_letter.step])
    return fixed or _reads(dead_letter.run_id, dead_letter.step).unread(given)


def can_edit(dead_letter: DeadLetter) -> bool:
    """Whether another input of its step could change anything: its list has not begun, and it reads some of it."""
    found = reads_of(dead_letter)
    return found is not None and found.something


def can_replay_from(dead_letter: DeadLetter) -> bool:
    """Whether its run, which is loaded, can be replayed from its step, with another run input if need be.

    One that no step of the run left is replayed from the beginning.
    """
    if dead_letter.run.state not in REPLAYABLE:
        return False
    if not dead_letter.step:
        return True
    return not plan.load(_version_of(dead_letter.run_id)).steps[dead_letter.step].handler


def reads_of(dead_letter: DeadLetter) -> Reads | None:
    """Return what the step of the dead letter reads.

    None if there is no step, or if its list has begun, which no input changes any more.
    """
    if not dead_letter.step or _fixed_list(dead_letter.run_id, [dead_letter.step]) is not None:
        return None
    return _reads(dead_letter.run_id, dead_letter.step)


def cannot_discard(dead_letter: DeadLetter) -> str:
    """Return why a discard changed nothing."""
    return f"the dead letter is {dead_letter.state}; only an open one can be discarded"


def cannot_signal(run_id: UUID, state: str, *, name: str) -> str:
    """Return why the run did not take a signal of this name."""
    if state not in SIGNALLABLE:
        return f"the run is {state}; only a run that has not ended takes signals"
    version_id, ending = Run.objects.values_list("version_id", "ending").get(pk=run_id)
    awaited = {step.config.awaits for step in plan.load(version_id).steps.values() if step.config.awaits is not None}
    if not awaited:
        return f"the run is {state}, and no step of it waits for a signal"
    if name not in awaited and ANY_SIGNAL not in awaited:
        return f"the run is {state}, and no step of it waits for signal {name!r}{nearest(name, sorted(awaited))}"
    if ending is not None:
        return (
            f"the run is {state}, and on its way to its end ({ending}): no step that may still come waits for "
            f"signal {name!r}"
        )
    if Signal.objects.filter(run_id=run_id, name=name, used_at__isnull=True).exists():
        return f"the run is {state}; a signal {name!r} is kept for every step that is still to wait for it"
    return f"the run is {state}; every step of it that waits for signal {name!r} is over"


def _past_retry(run_id: UUID, *, step: str | None = None) -> str | None:
    """Return why a failed run, or this step of it, cannot go on; None if that depends on its steps.

    The same rule as runs.queries.retries.PAST_RETRY.
    """
    if Run.objects.filter(pk=run_id, error__has_key="terminated").exists():
        return "the run was terminated, and what was to follow is given up: a replay makes a new run of it"
    undos = StepRun.objects.filter(run_id=run_id, step__startswith=UNDO)
    if undos.exists():
        if undos.filter(state=StepState.FAILED).exists() and (step is None or step.startswith(UNDO)):
            return None
        return "the run failed and was compensated: what its steps did is undone, so a replay makes a new run of it"
    if Run.objects.filter(pk=run_id, error__reason="timed_out").exists():
        return "the run failed by its own timeout, amid its work: a replay makes a new run of it"
    return None


def _failed_steps(run_id: UUID) -> list[str]:
    rows = StepRun.objects.filter(run_id=run_id, item=-1, state=StepState.FAILED.value)
    return list(rows.order_by("id").values_list("step", flat=True))


def _fixed_list(run_id: UUID, steps: Iterable[str]) -> str | None:
    """Return a refusal if one of these steps, for which an input was given, has begun its list; else None."""
    begun = StepRun.objects.filter(run_id=run_id, step__in=list(steps), item=-1, progress__isnull=False)
    step = begun.values_list("step", flat=True).first()
    if step is None:
        return None
    return (
        f"step {step!r} has begun its list, which another input does not change: retry it without one, "
        "for the failed items and those not begun, or replay the run with another input"
    )


def _reads(run_id: UUID, step: str) -> Reads:
    return reads.of(plan.load(_version_of(run_id)).steps[step])


def _version_of(run_id: UUID) -> UUID:
    return Run.objects.values_list("version_id", flat=True).get(pk=run_id)


def _listed(steps: list[str]) -> str:
    if not steps:
        return "has none"
    more = f" and {len(steps) - _NAMED} more" if len(steps) > _NAMED else ""
    return ("is " if len(steps) == 1 else "are ") + ", ".join(steps[:_NAMED]) + more
