"""How a run ends, in a fixed order: its work; if that failed, compensation and on_failure; finally; the end.

When nothing of the work is left, its outcome is decided and written as the run's `ending`, with its output or error;
the run stays live until what follows is done. A run that is stopped (cancelled, timed out) comes here as well, once
its running steps have answered. Each part begins when nothing of the one before is under way.
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
from runs.queries.database import run

_OPEN = (StepState.RETRYING, StepState.WAITING)


def follows(plan: Plan, outcome: RunState) -> bool:
    """Whether anything may follow work that came to this outcome."""
    if plan.finals:
        return True
    return outcome is RunState.FAILED and bool(plan.undos or plan.handlers)


def may_follow(step: PlannedStep, *, ending: str) -> bool:
    """Whether this step may still come once the run's work has come to this ending."""
    return step.part is Part.FINALLY or (ending == RunState.FAILED and step.handler)


def after_its_work(plan: Plan, outcome: Outcome, *, ending: RunState | None) -> bool:
    """Whether this is an outcome of the work of a run whose work is over: written, and followed by nothing."""
    return ending is not None and not plan.steps[outcome.last.step].handler


def note(plan: Plan, live: Sequence[Outcome], *, endings: Mapping[UUID, RunState]) -> None:
    """Write what outcomes mean beyond their own rows: successes that can be undone, and those that were undone.

    The runs are locked and live, and the outcomes' rows are written.
    """
    succeeded = [(o.run.id, o.item, r.step) for o in live for r in o.results if r.state is StepState.SUCCEEDED]
    numbered = [place for place in succeeded if place[2] in plan.undos]
    if numbered:
        run(ending_queries.NUMBER, **values.step_keys(numbered))
    undone = [
        (run_id, item, undoes) for run_id, item, step in succeeded if (undoes := plan.steps[step].undoes) is not None
    ]
    if undone:
        run(ending_queries.COMPENSATED, **values.step_keys(undone))
    cut = [
        (o.run.id, o.item, o.last.step)
        for o in live
        if o.last.state in _OPEN and after_its_work(plan, o, ending=endings.get(o.run.id))
    ]
    if cut:
        run(ending_queries.CUT_SHORT, **values.step_keys(cut))


def followed(plan: Plan, releases: Sequence[Release], *, marks: Mapping[UUID, Mapping[str, Mark]]) -> list[Release]:
    """The releases, those of runs whose work or ending has come to an outcome turned into what follows it.

    The runs are locked; `marks` were read after that.
    """
    over: dict[UUID, RunState] = {}
    for found in releases:
        if found.state is not None and found.state in RUN_OUTCOMES:
            over[found.run.id] = found.ending or found.state
    if not any(follows(plan, outcome) for outcome in over.values()):
        return list(releases)
    busy = {row[0] for row in run(ending_queries.UNDER_WAY, runs=list(over))}
    failed = [run_id for run_id, outcome in over.items() if outcome is RunState.FAILED]
    undoable_steps = undoable(failed) if failed and plan.undos else {}

    def next_for(found: Release) -> Release:
        run_id = found.run.id
        outcome = over[run_id]
        if run_id in busy:  # nothing begins before everything has answered
            return _going_on(plan, found, marks[run_id], outcome=outcome, heads=())
        heads = _heads(plan, marks[run_id], outcome=outcome, undoable=undoable_steps.get(run_id, ()))
        if heads:
            return _going_on(plan, found, marks[run_id], outcome=outcome, heads=heads)
        return _ended(plan, found, marks[run_id])

    return [next_for(found) if found.run.id in over else found for found in releases]


def undoable(run_ids: Sequence[UUID]) -> dict[UUID, list[str]]:
    """Steps of each run that succeeded, can be undone and are not, the last success first. The runs are locked."""
    found: dict[UUID, list[str]] = {}
    for run_id, step in run(ending_queries.UNDOABLE, runs=list(run_ids)) if run_ids else ():
        found.setdefault(run_id, []).append(step)
    return found


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
    """Where the next part begins: one compensation, else on_failure, else finally. None left: the run ends."""
    if outcome is RunState.FAILED:
        for step in undoable:
            if step in plan.undos and plan.undos[step].id not in marks:
                return [plan.undos[step].id]
        if plan.handlers and not any(head in marks for head in plan.handlers):
            return plan.handlers
    return [] if any(head in marks for head in plan.finals) else plan.finals


def _ended(plan: Plan, found: Release, marks: Mapping[str, Mark]) -> Release:
    """The end. A run whose every compensation succeeded is `compensated`; else it says which ones failed."""
    undone = {step: marks[undo.id].state for step, undo in plan.undos.items() if undo.id in marks}
    if found.ending is not RunState.FAILED or not undone:
        return found
    failed: list[Json] = [step for step, state in undone.items() if state is not StepState.SUCCEEDED]
    if not failed:
        return found._replace(state=RunState.COMPENSATED)
    names = ", ".join(str(step) for step in failed)
    message = f"the compensation of {names} failed: put right by hand what it did"
    return found._replace(error={"compensation": {"failed": failed, "message": message}})
