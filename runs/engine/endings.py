"""The end of a run, in a fixed order: its work; after a failure compensation and on_failure; finally; the end.

The work is what the workflow lists under `steps`. When nothing of it is left, its outcome is written as the run's
`ending`, with the run's output or error; but the run stays live until the parts that follow are done. A run that is
stopped (cancelled, timed out) takes the same way, once its running steps have ended. Each part begins when nothing of
the part before it is under way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from actions.base import Json
from runs.domain.outcomes import Outcome
from runs.domain.releases import NextTicket, Release
from runs.domain.states import RUN_OUTCOMES, RunState, StepState
from runs.engine.release import compensating
from runs.planning.joins import Mark
from runs.planning.plan import Plan
from runs.planning.steps import Part, PlannedStep
from runs.queries import endings as ending_queries
from runs.queries import values
from runs.queries.database import Statement, run

_OPEN = (StepState.RETRYING, StepState.WAITING)
# Run, item and step.
_StepKey = tuple[UUID, int, str]


def follows(plan: Plan, outcome: RunState) -> bool:
    """Whether any part of this workflow follows work with this outcome."""
    if plan.finals:
        return True
    return outcome is RunState.FAILED and bool(plan.undos or plan.handlers)


def may_follow(step: PlannedStep, *, ending: str) -> bool:
    """Whether this step may still run after the run's work has ended with `ending`."""
    return step.part is Part.FINALLY or (ending == RunState.FAILED and step.handler)


def after_its_work(plan: Plan, outcome: Outcome, *, ending: RunState | None) -> bool:
    """Whether the outcome belongs to the work of a run whose work is over. It is written, but releases nothing.

    Example: a step that was still running when its run was cancelled.
    """
    return ending is not None and not plan.steps[outcome.last.step].handler


def note(plan: Plan, live: Sequence[Outcome], *, endings: Mapping[UUID, RunState]) -> None:
    """Update step rows for compensation and stops. The runs are locked and live, and the outcomes' rows are written.

    A success that can be compensated gets its number; a step whose compensation has succeeded becomes `compensated`; a
    step of a stopped run that would be retried or would wait becomes `cancelled`.
    """
    if plan.undos:
        _note_undoing(plan, live)
    if endings:
        over = [o for o in live if after_its_work(plan, o, ending=endings.get(o.run.id))]
        cut_short = [(o.run.id, o.item, o.last.step) for o in over if o.last.state in _OPEN]
        _write_for(ending_queries.CUT_SHORT, cut_short)


def _note_undoing(plan: Plan, live: Sequence[Outcome]) -> None:
    """Number the successes that can be compensated, in order, and mark the steps that were compensated."""
    succeeded = [(o.run.id, o.item, r.step) for o in live for r in o.results if r.state is StepState.SUCCEEDED]
    _write_for(ending_queries.NUMBER, [key for key in succeeded if key[2] in plan.undos])
    undone = [(run_id, item, plan.steps[step].undoes) for run_id, item, step in succeeded]
    _write_for(ending_queries.COMPENSATED, [(run_id, item, step) for run_id, item, step in undone if step is not None])


def _write_for(statement: Statement, steps: Sequence[_StepKey]) -> None:
    if steps:
        run(statement, **values.step_keys(steps))


def followed(plan: Plan, releases: Sequence[Release], *, marks: Mapping[UUID, Mapping[str, Mark]]) -> list[Release]:
    """Return the releases; where a part of a run is over, with the start of the next part in place of the run's end.

    The runs are locked; `marks` were read after that.
    """
    over = _outcomes(releases)
    if not any(follows(plan, outcome) for outcome in over.values()):
        return list(releases)
    busy = {row[0] for row in run(ending_queries.UNDER_WAY, runs=list(over))}
    to_undo = _to_undo(plan, over)
    result = []
    for found in releases:
        run_id = found.run.id
        if run_id not in over:
            result.append(found)
        elif run_id in busy:  # the next part begins only when no step of the run is under way
            result.append(_going_on(plan, found, marks[run_id], outcome=over[run_id], heads=()))
        else:
            undo = to_undo.get(run_id, ())
            result.append(_next_part(plan, found, marks[run_id], outcome=over[run_id], undoable=undo))
    return result


def _outcomes(releases: Sequence[Release]) -> dict[UUID, RunState]:
    """Return, for the runs whose current part is over, the outcome of their work."""
    return {found.run.id: found.ending or found.state for found in releases if found.state in RUN_OUTCOMES}


def _to_undo(plan: Plan, over: Mapping[UUID, RunState]) -> dict[UUID, list[str]]:
    """Return, for the runs whose work failed, the steps to compensate."""
    failed = [run_id for run_id, outcome in over.items() if outcome is RunState.FAILED]
    return undoable(failed) if plan.undos else {}


def undoable(run_ids: Sequence[UUID]) -> dict[UUID, list[str]]:
    """Return, for each run, the steps that succeeded and can still be compensated, the last success first.

    The runs are locked.
    """
    found: dict[UUID, list[str]] = {}
    for run_id, step in run(ending_queries.UNDOABLE, runs=list(run_ids)) if run_ids else ():
        found.setdefault(run_id, []).append(step)
    return found


def _next_part(
    plan: Plan, found: Release, marks: Mapping[str, Mark], *, outcome: RunState, undoable: Iterable[str]
) -> Release:
    """Return the release with the start of the next part, or, if there is none, with the run's end."""
    heads = _heads(plan, marks, outcome=outcome, undoable=undoable)
    if heads:
        return _going_on(plan, found, marks, outcome=outcome, heads=heads)
    return _ended(plan, found, marks)


def _going_on(
    plan: Plan, found: Release, marks: Mapping[str, Mark], *, outcome: RunState, heads: Sequence[str]
) -> Release:
    undoing = compensating(plan, marks) or any(plan.steps[head].undoes is not None for head in heads)
    return found._replace(
        tickets=tuple(NextTicket(head) for head in heads),
        state=RunState.COMPENSATING if undoing else RunState.RUNNING,
        ending=outcome,
    )


def _heads(plan: Plan, marks: Mapping[str, Mark], *, outcome: RunState, undoable: Iterable[str]) -> list[str]:
    """Return the first steps of the next part: one compensation, else on_failure, else finally; empty for the end."""
    if outcome is RunState.FAILED:
        undos = [plan.undos[step].id for step in undoable if step in plan.undos]
        if compensation := next((undo for undo in undos if undo not in marks), None):
            return [compensation]
        if _not_begun(plan.handlers, marks):
            return plan.handlers
    return plan.finals if _not_begun(plan.finals, marks) else []


def _not_begun(heads: Sequence[str], marks: Mapping[str, Mark]) -> bool:
    return bool(heads) and not any(head in marks for head in heads)


def _ended(plan: Plan, found: Release, marks: Mapping[str, Mark]) -> Release:
    """Return the release with the run's end after compensations.

    If all of them succeeded the run is `compensated`; otherwise its error names the steps whose compensation failed.
    """
    undone = {step: marks[undo.id].state for step, undo in plan.undos.items() if undo.id in marks}
    if found.ending is not RunState.FAILED or not undone:
        return found
    failed: list[Json] = [step for step, state in undone.items() if state is not StepState.SUCCEEDED]
    if not failed:
        return found._replace(state=RunState.COMPENSATED)
    names = ", ".join(str(step) for step in failed)
    message = f"the compensation of {names} failed: put right by hand what it did"
    return found._replace(error={"compensation": {"failed": failed, "message": message}})
