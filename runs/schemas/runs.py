"""The answers of the API, field by field, and how they are made from rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from runs.control import concurrency, pauses
from runs.control.pauses import Paused
from runs.domain.states import RUN_ENDED, Pause, RunState, StepState
from runs.history.timeline import StepView
from runs.models import Intervention, Run
from runs.schemas.base import Shape, Site


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
        pause=pause_shape(pauses.of_run(run)),
        parent=parent(run),
        interventions=[intervention(one) for one in interventions],
    )


def intervention(row: Intervention) -> InterventionShape:
    """What somebody did, with the user loaded."""
    by = row.by.get_username() if row.by else None
    return InterventionShape(verb=row.verb, by=by, why=row.why, at=row.at, details=row.details)


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
        **times(run),
    }


def pause_shape(found: Paused | None) -> PauseShape | None:
    if found is None:
        return None
    return PauseShape(since=found.since, through=found.through, by=found.by, why=found.reason)


def times(run: Run) -> Mapping[str, datetime | None]:
    return {"created_at": run.created_at, "started_at": run.started_at, "finished_at": run.finished_at}


class ItemShape(Shape):
    """One item of a for_each step that something happened to; `item` counts from 0, as `index` does."""

    item: int
    state: StepState
    attempt: int
    attempts: list[Any]
    config: Any
    output: Any
    error: Any
    started_at: Any
    finished_at: Any


class ParentShape(BaseModel):
    """The step of another run that started this one; `item` is -1 outside a for_each."""

    model_config = ConfigDict(frozen=True)

    run: UUID
    step: str
    item: int
    attempt: int


def parent(run: Run) -> ParentShape | None:
    """None for a run that no step started."""
    told = {"run": run.parent_id, "step": run.parent_step, "item": run.parent_item, "attempt": run.parent_attempt}
    return ParentShape.model_validate(told) if run.parent_id else None
