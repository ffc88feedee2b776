"""The answers of the API, field by field, and how they are made from rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from runs.control import concurrency, pauses
from runs.control.pauses import Paused
from runs.domain.states import RUN_ENDED, DeadLetterState, Pause, RunState
from runs.history.timeline import StepView
from runs.models import DeadLetter, Intervention, Run
from runs.planning import plan
from runs.schemas.parents import ParentShape, parent
from workflows.models import Version, Workflow

# Makes an address of a path.
Site = Callable[[str], str]


class Shape(BaseModel):
    """An answer; `told` is what is rendered."""

    model_config = ConfigDict(frozen=True)

    def told(self) -> dict[str, Any]:
        """The answer as plain values; the renderer writes times as ISO 8601 UTC."""
        return self.model_dump()


class WaitShape(Shape):
    """What a waiting step waits for: a moment, a signal, an approval, a run, or its action's code.

    `until` is null where only the signal or the decision ends the wait.
    """

    kind: str
    since: datetime | None
    until: datetime | None
    signal: str | None
    key: str | None
    message: str | None
    approvers: list[str]


class StepShape(Shape):
    """One step of a run; `pending` until something happens to it. `child_run` is what a sub_workflow step started."""

    step: str
    action: str
    state: str
    attempt: int
    attempts: list[Any]
    input: Any
    config: Any
    output: Any
    error: Any
    started_at: datetime | None
    finished_at: datetime | None
    waiting_for: WaitShape | None
    # A signed link on which whoever has it can decide; null unless the step waits for approval.
    approve_url: str | None
    child_run: UUID | None
    items: Any


class PauseShape(Shape):
    """What holds a run or a workflow: since when, through what, who did it and why; `by` is null for a command."""

    since: datetime
    through: Pause
    by: str | None
    why: str


class RunSummary(Shape):
    """A run in a list. `paused_at` is null where nothing holds it."""

    id: UUID
    workflow: str
    workflow_id: UUID
    version: int
    state: RunState
    error: Any
    labels: dict[str, Any]
    idempotency_key: str | None
    priority: int
    paused_at: datetime | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class InterventionShape(Shape):
    """What somebody did to a run by hand; `by` is null for a command on the server."""

    verb: str
    by: str | None
    why: str
    at: datetime
    details: dict[str, Any]


class RunDetail(RunSummary):
    """A run with its input, its output and every step of its plan in topological order.

    `ending` is what its work came to, while it still does what follows (compensate, on_failure, finally); it fails at
    its `deadline`. A step `undo:<step>` undoes a step.
    """

    ending: RunState | None
    deadline: datetime | None
    input: Any
    output: Any
    steps: list[StepShape]
    replay_of: UUID | None
    concurrency_key: str | None
    pause: PauseShape | None
    parent: ParentShape | None
    interventions: list[InterventionShape]


class RunStarted(Shape):
    """The answer to a start; the first run's where the idempotency key was known."""

    id: UUID
    state: RunState


class WorkflowSummary(Shape):
    """A workflow in a list; version and hash are null until it is published, state until it has run."""

    id: UUID
    name: str
    description: str
    version: int | None
    hash: str | None
    state: RunState | None
    status: RunState | None
    latest_run: RunSummary | None
    paused_at: datetime | None
    created_at: datetime


class WorkflowDetail(Shape):
    """A workflow with its current definition and its latest run with all steps."""

    id: UUID
    name: str
    description: str
    version: int | None
    hash: str | None
    definition: Any
    state: RunState | None
    status: RunState | None
    latest_run: RunDetail | None
    paused_at: datetime | None
    pause: PauseShape | None
    created_at: datetime


class WorkflowStanding(Shape):
    """A workflow after it was paused or resumed, and how many runs that call held or let go."""

    id: UUID
    name: str
    paused_at: datetime | None
    runs: int


class WorkflowPublished(Shape):
    """The answer to a publish. `warnings` name what is stored but not performed yet."""

    id: UUID
    name: str
    version: int
    hash: str
    warnings: list[str]


class WorkflowStarted(WorkflowPublished):
    """The answer to a definition in the short form, which is started at once."""

    state: RunState
    status: RunState
    run: RunStarted


class JobSummary(Shape):
    """A job in a list. `max_retries` counts after the first attempt; `attempt` is 0 before the first."""

    id: UUID
    type: str
    state: RunState
    status: RunState
    max_retries: int
    attempt: int
    error: Any
    idempotency_key: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class JobDetail(JobSummary):
    """A job with its payload, its output and the attempts that did not succeed."""

    payload: Any
    output: Any
    attempts: list[Any]


class DeadLetterSummary(Shape):
    """A step that gave up, in a list."""

    id: UUID
    run: UUID
    workflow: str
    workflow_id: UUID
    step: str
    state: DeadLetterState
    reason: str
    error: Any
    created_at: datetime
    resolved_at: datetime | None


class DeadLetterDetail(DeadLetterSummary):
    """A step that gave up, with what it was given and what it tried."""

    input: Any
    config: Any
    attempts: list[Any]


class DeadLetterStanding(Shape):
    """How a dead letter and its run stand after a verb."""

    id: UUID
    state: DeadLetterState
    run: UUID
    run_state: RunState


def step(view: StepView, *, site: Site = str) -> StepShape:
    """A step of a timeline; `site` makes an address of a path."""
    told = {field.name: getattr(view, field.name) for field in dataclasses.fields(view)}
    waits = view.waiting_for
    told["waiting_for"] = WaitShape.model_validate(dataclasses.asdict(waits)) if waits else None
    link = waits.approve_url if waits else None
    return StepShape(**told, approve_url=site(link) if link else None)


def run_summary(run: Run) -> RunSummary:
    """A run with its workflow and version loaded."""
    return RunSummary(**_run(run))


def run_detail(
    run: Run, *, steps: Iterable[StepView], interventions: Iterable[Intervention], site: Site = str
) -> RunDetail:
    """A run with its workflow and version loaded, its timeline, and what was done to it by hand."""
    return RunDetail(
        **_run(run),
        ending=RunState(run.ending) if run.ending else None,
        deadline=run.deadline,
        input=run.input,
        output=run.output,
        steps=[step(view, site=site) for view in steps],
        replay_of=run.replay_of_id,
        concurrency_key=concurrency.key_of(run),
        pause=_pause(pauses.of_run(run)),
        parent=parent(run),
        interventions=[intervention(one) for one in interventions],
    )


def intervention(row: Intervention) -> InterventionShape:
    """What somebody did, with the user loaded."""
    by = row.by.get_username() if row.by else None
    return InterventionShape(verb=row.verb, by=by, why=row.why, at=row.at, details=row.details)


def workflow_summary(workflow: Workflow, *, newest: Run | None) -> WorkflowSummary:
    """A workflow with its current version loaded, and its newest run."""
    return WorkflowSummary(**_workflow(workflow, newest), latest_run=run_summary(newest) if newest else None)


def workflow_detail(workflow: Workflow, *, latest_run: RunDetail | None) -> WorkflowDetail:
    """A workflow with its current version loaded, and its newest run."""
    return WorkflowDetail(
        **_workflow(workflow, latest_run),
        definition=workflow.current.definition if workflow.current else None,
        latest_run=latest_run,
        pause=_pause(pauses.of_workflow(workflow)),
    )


def job_summary(run: Run, *, attempt: int) -> JobSummary:
    """A job's run, and the attempt that its step is at."""
    return JobSummary(**_job(run, attempt))


def job_detail(run: Run, *, view: StepView) -> JobDetail:
    """A job's run and its only step."""
    told = _job(run, view.attempt)
    return JobDetail(**told, payload=run.input, output=run.output, attempts=view.attempts)


def dead_letter_summary(letter: DeadLetter) -> DeadLetterSummary:
    """A dead letter with its workflow loaded."""
    return DeadLetterSummary(**_letter(letter))


def dead_letter_detail(letter: DeadLetter) -> DeadLetterDetail:
    """A dead letter with its workflow loaded, and all that it keeps."""
    return DeadLetterDetail(**_letter(letter), input=letter.input, config=letter.config, attempts=letter.attempts)


def _run(run: Run) -> dict[str, Any]:
    return {
        "id": run.pk,
        "workflow": run.workflow.name,
        "workflow_id": run.workflow_id,
        "version": run.version.number,
        "state": run.state,
        "error": run.error,
        "labels": run.labels,
        "idempotency_key": run.idempotency_key,
        "priority": run.priority,
        "paused_at": None if run.state in RUN_ENDED else run.paused_at,
        **_times(run),
    }


def _pause(found: Paused | None) -> PauseShape | None:
    return None if found is None else PauseShape(**dataclasses.asdict(found))


def _times(run: Run) -> Mapping[str, datetime | None]:
    return {"created_at": run.created_at, "started_at": run.started_at, "finished_at": run.finished_at}


def _workflow(workflow: Workflow, newest: Run | RunDetail | None) -> dict[str, Any]:
    current: Version | None = workflow.current
    state = newest.state if newest else None
    return {
        "id": workflow.pk,
        "name": workflow.name,
        "description": workflow.description,
        "version": current.number if current else None,
        "hash": current.hash if current else None,
        "state": state,
        "status": state,
        "paused_at": workflow.paused_at,
        "created_at": workflow.created_at,
    }


def _job(run: Run, attempt: int) -> dict[str, Any]:
    # Jobs share a handful of versions, so the plan is in this process's memory.
    only = next(iter(plan.load(run.version_id).steps.values()))
    return {
        "id": run.pk,
        "type": only.definition.action,
        "state": run.state,
        "status": run.state,
        "max_retries": only.retry.max_attempts - 1,
        "attempt": attempt,
        "error": run.error,
        "idempotency_key": run.idempotency_key,
        **_times(run),
    }


def _letter(letter: DeadLetter) -> dict[str, Any]:
    return {
        "id": letter.pk,
        "run": letter.run_id,
        "workflow": letter.workflow.name,
        "workflow_id": letter.workflow_id,
        "step": letter.step,
        "state": letter.state,
        "reason": letter.reason,
        "error": letter.error,
        "created_at": letter.created_at,
        "resolved_at": letter.resolved_at,
    }
