"""What happened in a run: every step of its plan with its row, interventions; and the newest run of a workflow."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import OuterRef, Subquery
from pydantic import ValidationError

from actions import expressions
from actions.base import ActionError, Json
from runs.domain.outcomes import LoadedSteps, RunFacts
from runs.domain.states import PENDING, RUN_ENDED, RUN_OUTCOMES, StepState
from runs.engine.config import rendered
from runs.engine.scope import names, step_input
from runs.history import never_begun, waiting
from runs.history.told import Progress, progress_of, with_progress
from runs.history.waiting import WaitView
from runs.models import Intervention, Run, StepRun
from runs.planning import plan
from runs.planning.steps import ANY_STEP, Part, PlannedStep
from workflows.models import Workflow

log = logging.getLogger(__name__)
SHOWN_INTERVENTIONS = 200
_DONE = frozenset({StepState.SUCCEEDED, StepState.SKIPPED, StepState.COMPENSATED})


@dataclass(frozen=True)
class StepView:
    """One step of a run, for people. `attempts` are those that did not succeed; `attempt` is 0 before the first.

    A step that never began (pending or skipped) has neither input nor config. `not_kept` names those of the two that
    nobody can tell any more: the attempt was killed before it could record them, or computing them for this view took
    too long. `child_run` is the run that the last attempt of a sub_workflow step started, `items` has the counts of a
    for_each, `progress` is that of its last checkpoint.
    """

    step: str
    action: str
    state: str
    attempt: int
    attempts: list[Any]
    input: Json
    config: Json
    output: Json
    error: Json
    started_at: datetime | None
    finished_at: datetime | None
    waiting_for: WaitView | None = None
    child_run: UUID | None = None
    items: Json = None
    not_kept: tuple[str, ...] = ()
    progress: Progress | None = None


def timeline(run: Run) -> list[StepView]:
    """Return every step of the run's plan in topological order; `pending` if nothing has happened to it yet.

    A step without a row that will never begin, because the run's work is over, is `skipped`, with the reason as error.
    One query, and one more if the plan has sub-workflows. What the rows do not have is computed, all of it within
    WEB_CPU_MILLISECONDS; but not what an attempt was killed over.
    """
    planned = plan.load(run.version_id)
    rows = {row.step: row for row in with_progress(StepRun.objects.filter(run_id=run.pk, item=-1))}
    seen = {key: {"output": r.output, "state": r.state, "error": r.error} for key, r in rows.items()}
    facts = _facts(run)
    # Compensations and the steps of on_failure are shown only once they have a row: most runs never need them.
    shown = [s for s in planned.steps.values() if s.id in rows or s.part in (Part.MAIN, Part.FINALLY)]
    sub_runs = _sub_runs(run, shown)
    with expressions.shared(cpu_milliseconds=expressions.WEB_CPU_MILLISECONDS):
        views = [
            _view(step, rows[step.id], facts, seen, version_id=run.version_id)
            if step.id in rows
            else _never_begun(step, never_begun.reason(run, step.part))
            for step in shown
        ]
    return [replace(view, child_run=sub_runs.get(view.step)) for view in views] if sub_runs else views


def progress(run: Run, views: Iterable[StepView]) -> tuple[int, int]:
    """Return how many of the run's steps are done, and how many it has; those of on_failure and finally do not count.

    A step is done when it succeeded or was skipped, or when its failure was handled.
    """
    main = {step.id: step for step in plan.load(run.version_id).steps.values() if step.part is Part.MAIN}
    states = {view.step: view.state for view in views if view.step in main}
    handled = {key for key, step in main.items() if step.definition.on_error != "fail"}
    done = sum(state in _DONE or (state == StepState.FAILED and key in handled) for key, state in states.items())
    return done, len(main)


def latest(workflow_ids: Iterable[UUID]) -> dict[UUID, Run]:
    """Return the newest run of each workflow, with its version, in one query; input and output are deferred.

    A workflow without runs is left out.
    """
    newest = Run.objects.filter(workflow=OuterRef("pk")).order_by("-id").values("id")[:1]
    workflows = Workflow.objects.filter(pk__in=list(workflow_ids)).annotate(newest=Subquery(newest))
    runs = Run.objects.filter(pk__in=workflows.values("newest")).select_related("version", "workflow")
    return {run.workflow_id: run for run in runs.defer("input", "output", "version__definition")}


def interventions(run: Run) -> list[Intervention]:
    """Return the newest SHOWN_INTERVENTIONS of the run, with their users, the oldest of them first."""
    rows = Intervention.objects.filter(run_id=run.pk).select_related("by").order_by("-id")
    return list(rows[:SHOWN_INTERVENTIONS])[::-1]


def _sub_runs(run: Run, steps: Iterable[PlannedStep]) -> dict[str, UUID]:
    """Return, by step id, the run that a sub_workflow step started; that of the last attempt if there were several."""
    if not any(step.definition.action == "sub_workflow" for step in steps):
        return {}
    sub_runs = Run.objects.filter(parent_id=run.pk, parent_item=-1).order_by("parent_attempt")
    return {str(step): run_id for step, run_id in sub_runs.values_list("parent_step", "id")}


def _facts(run: Run) -> RunFacts:
    begun = run.started_at or run.created_at
    outcome = run.ending or (run.state if run.state in RUN_OUTCOMES else "failed" if run.state in RUN_ENDED else None)
    return RunFacts(
        id=run.pk,
        input=run.input,
        began=begun.timestamp(),
        generation=run.generation,
        outcome=outcome,
    )


def _view(step: PlannedStep, row: StepRun, run: RunFacts, seen: LoadedSteps, *, version_id: UUID) -> StepView:
    begun = row.state != "skipped"
    given, config = (_given(step, row, run, seen), _NONE) if begun else (_NONE, _NONE)
    if begun:
        config = _config(step, row, given, run, seen)
    return StepView(
        step=step.id,
        action=step.definition.action,
        state=row.state,
        attempt=row.attempt if begun else 0,
        attempts=row.attempts,
        input=given.value,
        config=config.value,
        output=row.output,
        error=row.error,
        started_at=row.started_at,
        finished_at=row.finished_at,
        items=_counts(row),
        waiting_for=waiting.of(row, version_id=version_id),
        progress=progress_of(row),
        not_kept=tuple(name for name, part in (("input", given), ("config", config)) if not part.kept),
    )


def _never_begun(step: PlannedStep, reason: Json) -> StepView:
    """Return a step without a row: `pending`, or `skipped` with the reason for which it will never begin."""
    return StepView(
        step=step.id,
        action=step.definition.action,
        state=PENDING if reason is None else StepState.SKIPPED.value,
        attempt=0,
        attempts=[],
        input=None,
        config=None,
        output=None,
        error=reason,
        started_at=None,
        finished_at=None,
    )


def _counts(row: StepRun) -> Json:
    """Return how many items a for_each has, and how many of them have succeeded, failed and been skipped so far."""
    if row.progress is None:
        return None
    return {key: row.progress[key] for key in ("count", "succeeded", "failed", "skipped")}


class _Part(NamedTuple):
    """A step's input or config; `kept` is false if nobody can tell it any more."""

    value: Json
    kept: bool = True


_NONE = _Part(None)
_LOST = _Part(None, kept=False)
# Outcomes of attempts that ended without a record of their own.
_KILLED = frozenset({"lost", "timed_out"})


def _given(step: PlannedStep, row: StepRun, run: RunFacts, seen: LoadedSteps) -> _Part:
    if row.input is not None:
        return _Part(row.input)
    if step.definition.payload is not None and _killed(row):
        return _LOST
    try:
        return _Part(step_input(step, run, _read_by(step, seen)))
    except ActionError:
        return _failed_by(row)


def _config(step: PlannedStep, row: StepRun, given: _Part, run: RunFacts, seen: LoadedSteps) -> _Part:
    """Return the config that the step was performed with: the stored one, else `with` rendered once more."""
    if row.config is not None:
        return _Part(row.config)
    if not given.kept or (step.has_expressions and _killed(row)):
        return _LOST
    try:
        return _Part(rendered(step, names(step, run, _read_by(step, seen), given=given.value), given=given.value))
    except (ActionError, ValidationError, ValueError, TypeError, LookupError):
        # One such step must not hide the whole timeline.
        log.debug("config_not_shown", extra={"run_id": str(run.id), "step": step.id}, exc_info=True)
        return _failed_by(row)


def _failed_by(row: StepRun) -> _Part:
    """What to tell of a part that cannot be computed: nothing, if the step has failed with the same error already."""
    return _LOST if row.error is None else _NONE


def _killed(row: StepRun) -> bool:
    """Whether an attempt was ended from outside: what it evaluates may be what it was ended for."""
    return any(isinstance(tried, dict) and tried.get("outcome") in _KILLED for tried in row.attempts)


def _read_by(step: PlannedStep, seen: LoadedSteps) -> LoadedSteps:
    """Return the rows that the step's expressions may read: few, even if the run has thousands."""
    if ANY_STEP in step.reads:
        return seen
    return {key: seen[key] for key in step.reads if key in seen}
