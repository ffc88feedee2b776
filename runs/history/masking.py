"""What somebody sees of a run's configs who may not edit its workflow: everything but the secrets in them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from actions.base import Json
from runs.models import DeadLetter, Run, StepRun
from workflows.definitions.secrets import masked
from workflows.models import Workflow

if TYPE_CHECKING:
    from runs.history.timeline import StepView


def steps(views: Iterable[StepView], *, secrets: bool) -> list[StepView]:
    """Return the steps of a timeline, with secrets masked unless `secrets`."""
    return list(views) if secrets else [_masked(view) for view in views]


def config(value: Json, *, secrets: bool) -> Json:
    """Return a config, with secrets masked unless `secrets`."""
    return value if secrets else masked(value)


def given(value: Json, used: Json, *, secrets: bool) -> Json:
    """Return a step's input: where it is the step's config as well, as in a job, its secrets are masked likewise."""
    return value if secrets or value != used else masked(value)


def run_input(run: Run, *, secrets: bool) -> Json:
    """Return a run's input. That of a job is the config of its only step; `run` has its workflow loaded."""
    return run.input if run.workflow.kind != Workflow.Kind.JOBS else config(run.input, secrets=secrets)


def row(found: Any) -> Any:
    """Mask the secrets of a run, a step or a dead letter that was read to be shown, and return it."""
    if isinstance(found, Run):
        found.input = run_input(found, secrets=False)
    elif isinstance(found, (StepRun, DeadLetter)):
        found.input = given(found.input, found.config, secrets=False)
        found.config = masked(found.config)
    return found


def _masked(view: StepView) -> StepView:
    shown = given(view.input, view.config, secrets=False)
    return replace(view, config=masked(view.config), input=shown)
