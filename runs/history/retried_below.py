"""Notes at a run, where a sub-workflow run was retried by hand and the run above it does not wait for it again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from runs.control import parents_again
from runs.domain.states import RunState, StepState
from runs.models import Intervention, Run
from runs.queries.database import run as execute
from runs.queries.sub_workflows import RETRIED_BELOW


class Step(Protocol):
    """A step of the run's timeline."""

    @property
    def action(self) -> str: ...

    @property
    def state(self) -> str: ...


_STAYS = frozenset({RunState.FAILED, RunState.COMPENSATED, RunState.COMPENSATING})


def notes(run: Run, *, steps: Sequence[Step], interventions: Sequence[Intervention]) -> list[str]:
    """Return a sentence for each such run: the one above this run, and those below it. No query for most runs."""
    found = []
    if run.parent_id is not None and any(one.verb == "retry" for one in interventions):
        found += list(parents_again.kept([run.pk]).values())
    if run.state in _STAYS and any(_called(step) for step in steps):
        found += [
            f"run {child}, by which {_place(step, item)} failed, was retried by hand since and is {state}; "
            f"this run stays {run.state}, and does not wait for it again"
            for child, step, item, state in execute(RETRIED_BELOW, run=run.pk)
        ]
    return found


def _called(step: Step) -> bool:
    return step.action == "sub_workflow" and step.state == StepState.FAILED


def _place(step: str, item: int) -> str:
    return f"step {step!r}" if item < 0 else f"item {item} of step {step!r}"
