"""The JSON of runs, their steps and their items in responses, and how it is built from rows."""

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
from runs.history import masking, retried_below
from runs.history.timeline import StepView
from runs.models import Intervention, Run
from runs.schemas.base import Shape, Site
from runs.schemas.outputs import Outputs


class WaitShape(Shape):
    """What a waiting step waits for. `kind` is moment, signal, approval, run, items, or code.

    `run` is the end of a sub-workflow's run, `items` that of the items of a for_each, `code` a worker that has the
    step's action. `until` is the time at which the wait ends at the latest; null if it has no such time.
    """

    kind: str
    since: datetime | None
    until: datetime | None
    signal: str | None
    key: str | None
    message: str | None
    approvers: list[str]


class StepShape(Shape):
    """One step of a run; its state is `pending` until something happens to it.

    A step that never began because the run was cancelled or failed before is `skipped`; the kind of its `error` is
    `run_cancelled`, `run_terminated`, `run_failed`, `run_timed_out` or `not_reached`.

    `child_run` is the run that a sub_workflow step started. `not_kept` names `input` or `config` where it is null
    because nobody can tell it any more: its attempt was killed, or computing it again takes too long. `left_out` names
    those of `input`, `config` and `output` that are null because they are large, or were not asked for; then `step_url`
    is the address of the whole step.
    """

    step: str
    action: str
    state: str
    attempt: int
    attempts: list[Any]
    input: Any
    config: Any
    output: Any
    output_url: str | None
    error: Any
    started_at: datetime | None
    finished_at: datetime | None
    waiting_for: WaitShape | None
    # A signed link: whoever has it can approve or reject. Null unless the step waits for approval.
    approve_url: str | None
    child_run: UUID | None
    items: Any
    not_kept: list[str]
    left_out: list[str]
    step_url: str | None


class PauseShape(Shape):
    """The pause of a run or workflow: since when, whether `through` the run or its workflow, by whom, and why.

    `by` is null if it was paused by a command on the server.
    """

    since: datetime
    through: Pause
    by: str | None
    why: str


class RunSummary(Shape):
    """A run in a list. `paused_at` is null unless the run is paused now."""

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
    """A verb that somebody called on a run by hand; `by` is null for a command on the server."""

    verb: str
    by: str | None
    why: str
    at: datetime
    details: dict[str, Any]


class ParentShape(BaseModel):
    """The step of another run that started this run; `item` is the index in a for_each, else -1."""

    model_config = ConfigDict(frozen=True)

    run: UUID
    step: str
    item: int
    attempt: int


class RunDetail(RunSummary):
    """A run with its input, its output, and every step of its plan in topological order.

    `ending` is the outcome of the run's work while compensation, `on_failure` or `finally` are still to be done, else
    null. A run that has not ended at its `deadline` fails. A step `undo:<step>` is the compensation of that step. An
    `output` that is large, or was left out, is null, and `output_url` is its address. `notes` say where a sub-workflow
    run was retried by hand, and the run above does not wait for it again.
    """

    ending: RunState | None
    deadline: datetime | None
    input: Any
    output: Any
    output_url: str | None
    steps: list[StepShape]
    replay_of: UUID | None
    concurrency_key: str | None
    pause: PauseShape | None
    parent: ParentShape | None
    interventions: list[InterventionShape]
    notes: list[str]


class OutputShape(Shape):
    """The output of a run or of a step; null while there is none."""

    output: Any


class RunRetried(Shape):
    """The state of a run after a retry; `notes` say which run above does not wait for it again, and why."""

    id: UUID
    state: RunState
    notes: list[str]


class RunStarted(Shape):
    """The response to a start: the new run, or the existing run with the same idempotency key."""

    id: UUID
    state: RunState


def step(view: StepView, *, site: Site | None = str, outputs: Outputs | None = None) -> StepShape:
    """Return a step of a timeline; `site` turns a path into a full URL, and None leaves out the link of an approval.

    Without `outputs` it has its output, however large it is.
    """
    fields = {field.name: getattr(view, field.name) for field in dataclasses.fields(view)}
    waits = view.waiting_for
    fields["waiting_for"] = WaitShape.model_validate(dataclasses.asdict(waits)) if waits else None
    fields["not_kept"] = list(view.not_kept)
    link = waits.approve_url if waits else None
    fields |= _parts(view, outputs)
    return StepShape(**fields, approve_url=site(link) if link and site else None)


def _parts(view: StepView, outputs: Outputs | None) -> dict[str, Any]:
    """Return input, config and output of a step, without what is left out, and where that is."""
    found: dict[str, Any] = {"input": view.input, "config": view.config, "output": view.output, "output_url": None}
    if outputs is None:
        return {**found, "left_out": [], "step_url": None}
    left_out = [name for name in ("input", "config") if not outputs.fits(found[name])]
    found["output"], found["output_url"] = outputs.split(view.output, step=view.step)
    left_out += ["output"] if found["output_url"] else []
    address = outputs.links.step(view.step) if left_out else None
    return {**found, **dict.fromkeys(left_out), "left_out": left_out, "step_url": address}


def run_summary(run: Run) -> RunSummary:
    """Return the summary of a run; its workflow and version should be loaded."""
    return RunSummary(**_run(run))


def run_detail(  # noqa: PLR0913 - everything that decides what an answer shows
    run: Run,
    *,
    steps: Iterable[StepView],
    interventions: Iterable[Intervention],
    secrets: bool,
    site: Site | None = str,
    outputs: Outputs | None = None,
) -> RunDetail:
    """Return all details of a run; its workflow and version should be loaded. `site` and `outputs`: see `step`.

    Secrets in the steps' configs are masked unless `secrets`.
    """
    output, address = outputs.split(run.output, step=None) if outputs else (run.output, None)
    views, by_hand = list(steps), list(interventions)
    return RunDetail(
        **_run(run),
        ending=RunState(run.ending) if run.ending else None,
        deadline=run.deadline,
        input=masking.run_input(run, secrets=secrets),
        output=output,
        output_url=address,
        steps=[step(view, site=site, outputs=outputs) for view in masking.steps(views, secrets=secrets)],
        replay_of=run.replay_of_id,
        concurrency_key=concurrency.key_of(run),
        pause=pause_shape(pauses.of_run(run)),
        parent=parent(run),
        interventions=[intervention(one) for one in by_hand],
        notes=retried_below.notes(run, steps=views, interventions=by_hand),
    )


def intervention(row: Intervention) -> InterventionShape:
    """Return an intervention's fields; its user should be loaded."""
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
    """One item of a for_each step that has begun or been skipped. `item` is its index in the list, from 0."""

    item: int
    state: StepState
    attempt: int
    attempts: list[Any]
    config: Any
    output: Any
    error: Any
    started_at: Any
    finished_at: Any


def parent(run: Run) -> ParentShape | None:
    """Return the step that started the run; None if no step did."""
    fields = {"run": run.parent_id, "step": run.parent_step, "item": run.parent_item, "attempt": run.parent_attempt}
    return ParentShape.model_validate(fields) if run.parent_id else None
