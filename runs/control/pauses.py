"""Pause and resume: of runs, and of a workflow with all its runs, those that are started meanwhile included.

A pause is a time beside the state. The tickets of a paused run lie far in the future, so that nothing knocks or claims
them; a step that runs goes on, its outcome is recorded, and what it releases is held as well.
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

# A ticket that is due in this year or later is a paused run's.
HELD_FROM_YEAR = 8000
_STATES = sorted(state.value for state in preconditions.PAUSABLE)


@dataclass(frozen=True)
class Paused:
    """Since when something is paused, whether by itself or through its workflow, and by whom and for what reason.

    `by` is None for a command on the server.
    """

    since: datetime
    through: Pause
    by: str | None
    reason: str


def pause(run_ids: Sequence[UUID], *, actor: Actor) -> frozenset[UUID]:
    """Hold runs that have not ended; answers those that this call held. Again is a no-op.

    One that its workflow holds is held by itself from then on.
    """
    with transaction.atomic():
        won = _pause(run_ids, through=Pause.RUN)
        interventions.write("pause", {run_id: {} for run_id in won}, actor=actor)
    return frozenset(won)


def resume(run_ids: Sequence[UUID], *, actor: Actor) -> frozenset[UUID]:
    """Let paused runs go on, also where their workflow holds them; answers those that this call let go."""
    with transaction.atomic():
        won = _resume(run_ids, through=None)
        interventions.write("resume", {run_id: {} for run_id in won}, actor=actor)
    transaction.on_commit(dispatcher.after_commit)
    return frozenset(won)


def pause_workflow(workflow: Workflow, *, actor: Actor) -> int:
    """Hold the workflow's runs, and those to come; answers how many runs this call held.

    Again, it holds what is not held yet: so a call that was cut short is finished.
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
    """Let the workflow's runs go on, but for those that were paused themselves; answers how many this call let go."""
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
    """The pause that holds the run now. None for one that has ended: nothing is left to hold."""
    if run.paused_at is None or run.paused_through is None or run.state in RUN_ENDED:
        return None
    through = Pause(run.paused_through)
    told: Intervention | WorkflowIntervention | None
    if through is Pause.RUN:
        told = Intervention.objects.filter(run=run, verb="pause").select_related("by").order_by("-id").first()
    else:
        told = _told(run.workflow_id)
    return _paused(run.paused_at, through, told)


def of_workflow(workflow: Workflow) -> Paused | None:
    """The pause that the workflow's runs begin with."""
    if workflow.paused_at is None:
        return None
    return _paused(workflow.paused_at, Pause.WORKFLOW, _told(workflow.pk))


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
    """Whether it still is as this verb left it: pausing and resuming at the same time, the later one has its way."""
    [(is_paused,)] = run(pauses.WORKFLOW_PAUSED, workflow=workflow.pk)
    return bool(is_paused == paused)


def _batch(statement: Statement, workflow: Workflow, **params: object) -> list[UUID]:
    return [row[0] for row in run(statement, workflow=workflow.pk, limit=preconditions.AT_ONCE, **params)]


def _told(workflow_id: UUID) -> WorkflowIntervention | None:
    said = WorkflowIntervention.objects.filter(workflow_id=workflow_id, verb="pause")
    return said.select_related("by").order_by("-id").first()


def _paused(since: datetime, through: Pause, told: Intervention | WorkflowIntervention | None) -> Paused:
    by = told.by.get_username() if told is not None and told.by is not None else None
    return Paused(since=since, through=through, by=by, reason=told.why if told is not None else "")
