"""The JSON of workflows in responses."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import RootModel

from runs.control import pauses
from runs.domain.states import RunState
from runs.domain.statuses import WorkflowStatus, workflow_status
from runs.models import Run
from runs.schemas.base import Shape
from runs.schemas.runs import (
    PauseShape,
    RunDetail,
    RunStarted,
    RunSummary,
    pause_shape,
    run_summary,
)
from workflows.definitions.secrets import masked_definition
from workflows.models import Version, Workflow

MOST_ALIASES = 100


class WorkflowSummary(Shape):
    """A workflow in a list. Version and hash are null before the first publish, the state before the first run."""

    id: UUID
    name: str
    description: str
    version: int | None
    hash: str | None
    state: RunState | None
    status: RunState | None
    latest_run: RunSummary | None
    paused_at: datetime | None
    archived_at: datetime | None
    created_at: datetime


class WorkflowDetail(Shape):
    """A workflow with its current definition, and its latest run with all steps. `aliases` are names that it had.

    They go on meaning it, until another workflow takes them.
    """

    id: UUID
    name: str
    aliases: list[str]
    description: str
    version: int | None
    hash: str | None
    definition: Any
    state: RunState | None
    status: RunState | None
    latest_run: RunDetail | None
    paused_at: datetime | None
    pause: PauseShape | None
    archived_at: datetime | None
    created_at: datetime


class WorkflowStateShape(Shape):
    """A workflow after it was paused or resumed. `runs` is how many runs this call paused or resumed."""

    id: UUID
    name: str
    paused_at: datetime | None
    runs: int


class WorkflowRenamed(Shape):
    """A workflow that was renamed; `detail` says what becomes of the old name, and which workflows use it."""

    id: UUID
    name: str
    aliases: list[str]
    detail: str


class WorkflowArchived(Shape):
    """A workflow that was archived, restored or deleted; `detail` says so, and which workflows start it."""

    id: UUID
    name: str
    detail: str


class WorkflowPublished(Shape):
    """The response to a publish. `warnings` name the parts that are stored but not performed by this version."""

    id: UUID
    name: str
    version: int
    hash: str
    warnings: list[str]


class WorkflowStarted(WorkflowPublished):
    """The response to a definition in the short form, which is published and started at once.

    `id` is what was started; GET /workflows/{id} shows it. `workflow` and `workflow_id` are the name and id of the
    workflow, which all starts of the same name share. `status` is in the words of other job engines, `state` is ours.
    """

    workflow: str
    workflow_id: UUID
    state: RunState
    status: WorkflowStatus
    current_step: int
    total_steps: int
    completed_at: datetime | None
    run: RunStarted


class StartedWorkflow(RunDetail):
    """One start of a workflow in the short form, with its steps.

    `current_step` is how many of its `total_steps` are done, skipped ones included.
    """

    name: str
    status: WorkflowStatus
    current_step: int
    total_steps: int
    completed_at: datetime | None
    run: RunStarted


class WorkflowOrStart(RootModel[WorkflowDetail | StartedWorkflow]):
    """A workflow, or one start of it: which one depends on the id that is asked for."""


def workflow_summary(workflow: Workflow, *, newest: Run | None) -> WorkflowSummary:
    """Return the summary of a workflow; its current version should be loaded."""
    return WorkflowSummary(**_workflow(workflow, newest), latest_run=run_summary(newest) if newest else None)


def workflow_detail(workflow: Workflow, *, latest_run: RunDetail | None, secrets: bool) -> WorkflowDetail:
    """Return all details of a workflow; its current version should be loaded. Secrets are masked unless `secrets`."""
    definition = workflow.current.definition if workflow.current else None
    return WorkflowDetail(
        **_workflow(workflow, latest_run),
        aliases=aliases(workflow),
        definition=definition if secrets or definition is None else masked_definition(definition),
        latest_run=latest_run,
        pause=pause_shape(pauses.of_workflow(workflow)),
    )


def aliases(workflow: Workflow) -> list[str]:
    """Return the names that the workflow had before, in order; one query."""
    return list(workflow.aliases.order_by("name").values_list("name", flat=True)[:MOST_ALIASES])


def started_workflow(detail: RunDetail, *, done: int, total: int) -> StartedWorkflow:
    """Return a start of the short form: its run's details, and how many of how many steps are done."""
    return StartedWorkflow(
        **dict(detail),
        name=detail.workflow,
        status=workflow_status(detail.state),
        current_step=done,
        total_steps=total,
        completed_at=detail.finished_at,
        run=RunStarted(id=detail.id, state=detail.state),
    )


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
        "archived_at": workflow.archived_at,
        "created_at": workflow.created_at,
    }
