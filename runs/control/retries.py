"""Retry failed runs: the same steps again in the same runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction

from actions.base import Json
from runs.control import interventions, preconditions
from runs.dispatch import dispatcher
from runs.domain.actor import Actor
from runs.domain.states import RunState, StepState
from runs.engine import endings, for_each, sub_workflows
from runs.engine.marks import whole as marks_of_all
from runs.planning import plan as plans
from runs.planning.joins import RELEASED, Mark, Verdict, behind, decide
from runs.planning.plan import Plan
from runs.planning.steps import UNDO, Part
from runs.queries import retries, values
from runs.queries import sub_workflows as sub_workflow_queries
from runs.queries.database import Statement, run


@dataclass(frozen=True)
class _Retried:
    """What a retry does in one run: steps that go again now, and steps that are to come again."""

    run_id: UUID
    steps: Sequence[str]
    later: Sequence[str]

    def told(self, edited: Mapping[tuple[UUID, str], Json]) -> dict[str, Json]:
        """The details of the intervention."""
        changed: list[Json] = [step for step in self.steps if edited.get((self.run_id, step)) is not None]
        undone: list[Json] = [step for step in self.later if step.startswith(UNDO)]
        return {"steps": [*self.steps, *undone], "edited": changed}


def retry(
    run_ids: Sequence[UUID],
    *,
    actor: Actor,
    steps: Mapping[UUID, Iterable[str]] | None = None,
    inputs: Mapping[tuple[UUID, str], Json] | None = None,
) -> frozenset[UUID]:
    """Let failed runs go on: their failed steps get a ticket, and what the failure had blocked is to come again.

    A run whose compensation failed goes on with that: what failed of it goes again, one after the other. `steps`
    narrows a run down to some of its failed steps, `inputs` replaces the input of one. The retry policy begins anew.
    Answers the runs that this call set going; a run with an input for a step that does not go on now, or for one
    whose list has begun, is not one of them.
    """
    edited = inputs or {}
    with transaction.atomic():
        below = [row[0] for row in run(sub_workflow_queries.OF_ENDINGS, runs=list(run_ids), undo=UNDO)]
        locked = _lock(run_ids, states=preconditions.RETRYABLE, children=below)
        past: dict[UUID, bool] = dict(run(retries.PAST_RETRY, runs=list(locked), undo=UNDO)) if locked else {}
        lists = for_each.begun([key for key, given in edited.items() if given is not None and key[0] in locked])
        work: list[_Retried] = []
        undoing: list[_Retried] = []
        wanted = [run_id for run_id in locked if past.get(run_id, True)]
        undoable = endings.undoable([run_id for run_id in wanted if run_id in past])
        for run_id, marks in marks_of_all(wanted).items():
            plan = plans.load(locked[run_id])
            only = None if steps is None else frozenset(steps.get(run_id, ()))
            if run_id in past:
                again = _retried_compensation(run_id, plan, marks, order=undoable.get(run_id, ()), only=only)
            else:
                again = _retried_work(run_id, plan, marks, only=only)
            wrong = any(key[0] == run_id and (key[1] not in again.steps or key in lists) for key in edited)
            if again.steps and not wrong:
                (undoing if run_id in past else work).append(again)
        won = _set_going(retries.RETRY, work, edited=edited, actor=actor)
        won += _set_going(retries.RETRY_UNDO, undoing, edited=edited, actor=actor)
        for_each.again([(again.run_id, step) for again in work for step in again.steps])
        if below and won:
            run(sub_workflow_queries.LET_GO, children=below, runs=won)
        interventions.write("retry", {again.run_id: again.told(edited) for again in work + undoing}, actor=actor)
        sub_workflows.awaited_again(won)  # the last locks: the rows of parents
    transaction.on_commit(dispatcher.after_commit)
    return frozenset(won)


def _lock(run_ids: Sequence[UUID], *, states: Iterable[RunState], children: Sequence[UUID]) -> dict[UUID, UUID]:
    """Version ids of the runs that are in one of these states, by run, locked in ascending order with the children."""
    wanted = [state.value for state in states]
    found = run(retries.LOCK, runs=list(run_ids), states=wanted, children=list(children))
    asked = set(run_ids)
    return {run_id: version_id for run_id, version_id, state in found if run_id in asked and state in wanted}


def _retried_work(run_id: UUID, plan: Plan, marks: Mapping[str, Mark], *, only: frozenset[str] | None) -> _Retried:
    """Failed steps of the work whose failure nothing handled, and what is to come again after them."""
    failed = [
        step
        for step, mark in marks.items()
        if mark.state is StepState.FAILED
        and plan.steps[step].definition.on_error == "fail"
        and not plan.steps[step].handler
        and (only is None or step in only)
    ]
    return _Retried(run_id, failed, _blocked_behind(plan, marks, failed))


def _retried_compensation(
    run_id: UUID, plan: Plan, marks: Mapping[str, Mark], *, order: Iterable[str], only: frozenset[str] | None
) -> _Retried:
    """The first compensation that failed; the others are to come after it, and then on_failure and finally."""
    undos = [plan.undos[step].id for step in order if step in plan.undos]
    failed = [
        undo
        for undo in undos
        if undo in marks and marks[undo].state is StepState.FAILED and (only is None or undo in only)
    ]
    handlers = [step for step in marks if plan.steps[step].part in (Part.ON_FAILURE, Part.FINALLY)]
    return _Retried(run_id, failed[:1], [*failed[1:], *handlers])


def _set_going(
    statement: Statement, found: Sequence[_Retried], *, edited: Mapping[tuple[UUID, str], Json], actor: Actor
) -> list[UUID]:
    """Set these runs going, which are locked; answers them."""
    if not found:
        return []
    now = [(again.run_id, step) for again in found for step in again.steps]
    later = [(again.run_id, step) for again in found for step in again.later]
    won = run(
        statement,
        runs=[key[0] for key in now],
        steps=[key[1] for key in now],
        inputs=[values.nullable(edited.get(key)) for key in now],
        blocked_runs=[key[0] for key in later],
        blocked_steps=[key[1] for key in later],
        by=actor.user_id,
        why=actor.reason,
    )
    return [row[0] for row in won]


def _blocked_behind(plan: Plan, marks: Mapping[str, Mark], steps: Sequence[str]) -> list[str]:
    """What is to come again: steps that the failure had blocked, and what on_failure and finally did after it."""
    after = [step for step in behind(plan, steps) if step in marks and marks[step].blocked]
    known = {step: mark for step, mark in marks.items() if step not in after} | dict.fromkeys(steps, RELEASED)
    gone = []
    for step in plan.steps:
        if step not in after:
            continue
        if decide(plan, plan.steps[step], known) is Verdict.WAIT:
            gone.append(step)
        else:  # another failure blocks it all the same, and nothing that is to come would look at it again
            known[step] = marks[step]
    return gone + [step for step in marks if plan.steps[step].handler]
