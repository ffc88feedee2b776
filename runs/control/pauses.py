"""Pause and resume runs, or a workflow with all its runs, including runs that are started while it is paused.

A pause is a time (`paused_at`), not a state. The tickets of a paused run are due far in the future, so that no message
is sent for them and no worker claims them. A step that is running goes on and its outcome is recorded; the steps that
it releases are held as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction

from runs.control import interventions, preconditions
from runs.dispatch import dispatcher
from runs.domain.actor import Actor
from runs.domain.states import RUN_ENDED, Pause
from runs.models import Intervention, Run, WorkflowIntervention
from runs.queries import interventions as intervention_queries
from runs.queries import pauses
from runs.queries.database import Statement, run
from workflows.models import Workflow

# A ticket that is due in this year or later belongs to a paused run.
HELD_FROM_YEAR = 8000
_STATES = sorted(state.value for state in preconditions.PAUSABLE)


@dataclass(frozen=True)
class Paused:
    """Since when a run or workflow is paused, whether by itself or through its workflow, by whom, and why.

    `by` is None if a command on the server paused it.
    """

    since: datetime
    through: Pause
    by: str | None
    reason: str


def pause(run_ids: Sequence[UUID], *, actor: Actor) -> frozenset[UUID]:
    """Pause runs that have not ended, and return those that this call paused. A second pause is a no-op.

    A run that was paused through its workflow is paused by itself from then on.
    """
    with transaction.atomic():
        won = _pause(run_ids, through=Pause.RUN)
        interventions.write("pause", {run_id: {} for run_id in won}, actor=actor)
    return frozenset(won)


def resume(run_ids: Sequence[UUID], *, actor: Actor) -> frozenset[UUID]:
    """Resume paused runs, including runs paused through their workflow, and return those that this call resumed."""
    with transaction.atomic():
        won = _resume(run_ids, through=None)
        interventions.write("resume", {run_id: {} for run_id in won}, actor=actor)
    transaction.on_commit(dispatcher.after_commit)
    return frozenset(won)


def pause_workflow(workflow: Workflow, *, actor: Actor) -> int:
    """Pause the workflow, its runs and its future runs, and return how many runs this call paused.

    It pauses in batches. A second call pauses the runs that are not paused yet, and so completes an interrupted call.
    """
    _set(workflow, paused=True, actor=actor)
    held = 0
    while ids := _batch(pauses.TO_PAUSE, workflow, workspace=workflow.workspace_id):
        with transaction.atomic():
            if not _is_still(workflow, paused=True):
                break
            held += len(_pause(ids, through=Pause.WORKFLOW))
    return held


def resume_workflow(workflow: Workflow, *, actor: Actor) -> int:
    """Resume the workflow's runs, except runs that were paused by themselves, and return how many this call resumed."""
    _set(workflow, paused=False, actor=actor)
    released = 0
    while ids := _batch(pauses.TO_RESUME, workflow, states=_STATES):
        with transaction.atomic():
            if not _is_still(workflow, paused=False):
                break
            released += len(_resume(ids, through=Pause.WORKFLOW))
    transaction.on_commit(dispatcher.after_commit)
    return released


def of_run(run: Run) -> Paused | None:
    """Return the pause of the run. None if it is not paused or has ended."""
    if run.paused_at is None or run.paused_through is None or run.state in RUN_ENDED:
        return None
    through = Pause(run.paused_through)
    by: Intervention | WorkflowIntervention | None
    if through is Pause.RUN:
        by = Intervention.objects.filter(run=run, verb="pause").select_related("by").order_by("-id").first()
    else:
        by = _newest_pause(run.workflow_id)
    return _paused(run.paused_at, through, by)


def of_workflow(workflow: Workflow) -> Paused | None:
    """Return the pause of the workflow, with which its new runs begin; None if it is not paused."""
    if workflow.paused_at is None:
        return None
    return _paused(workflow.paused_at, Pause.WORKFLOW, _newest_pause(workflow.pk))


def _pause(run_ids: Sequence[UUID], *, through: Pause) -> list[UUID]:
    locked = run(pauses.LOCK_TO_PAUSE, runs=list(run_ids), states=_STATES, through=through.value)
    won = [row[0] for row in locked]
    if won:
        run(pauses.PAUSE, runs=won, through=through.value)
    return won


def _resume(run_ids: Sequence[UUID], *, through: Pause | None) -> list[UUID]:
    narrowed = None if through is None else through.value
    won = [row[0] for row in run(pauses.LOCK_TO_RESUME, runs=list(run_ids), states=_STATES, through=narrowed)]
    if won:
        run(pauses.RESUME, runs=won)
    return won


def _set(workflow: Workflow, *, paused: bool, actor: Actor) -> None:
    with transaction.atomic():
        [(is_paused,)] = run(pauses.HOLD_WORKFLOW, workflow=workflow.pk)
        if is_paused == paused:
            return
        verb = "pause" if paused else "resume"
        run(pauses.SET_WORKFLOW_PAUSE, workflow=workflow.pk, paused=paused)
        run(
            intervention_queries.INTERVENE_WORKFLOW, workflow=workflow.pk, verb=verb, by=actor.user_id, why=actor.reason
        )


def _is_still(workflow: Workflow, *, paused: bool) -> bool:
    """Whether the workflow is still paused (or not) as this verb set it.

    Checked for each batch: if a pause and a resume run at the same time, the earlier one stops.
    """
    [(is_paused,)] = run(pauses.WORKFLOW_PAUSED, workflow=workflow.pk)
    return bool(is_paused == paused)


def _batch(statement: Statement, workflow: Workflow, **params: object) -> list[UUID]:
    return [row[0] for row in run(statement, workflow=workflow.pk, limit=preconditions.AT_ONCE, **params)]


def _newest_pause(workflow_id: UUID) -> WorkflowIntervention | None:
    pauses_of_workflow = WorkflowIntervention.objects.filter(workflow_id=workflow_id, verb="pause")
    return pauses_of_workflow.select_related("by").order_by("-id").first()


def _paused(since: datetime, through: Pause, by: Intervention | WorkflowIntervention | None) -> Paused:
    username = by.by.get_username() if by is not None and by.by is not None else None
    return Paused(since=since, through=through, by=username, reason=by.why if by is not None else "")
