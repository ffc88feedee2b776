"""Work out what a step is given: its input, and the names that its expressions may use."""

from __future__ import annotations

from datetime import UTC, datetime

from actions import expressions
from actions.base import Json
from actions.moments import iso
from runs.domain.outcomes import RunFacts, Steps
from runs.planning.steps import ANY_STEP, PlannedStep


def step_input(step: PlannedStep, run: RunFacts, steps: Steps) -> Json:
    """The run's input for a root, the parent's output with one parent, `{parent: output}` with several.

    Parents that were skipped are absent. A step with a payload is given that payload.
    """
    if step.definition.payload is not None:
        return expressions.render(step.definition.payload, _reserved(run, read_by(step, steps)))
    return _handed_down(step, run, steps)


def names(step: PlannedStep, run: RunFacts, steps: Steps, *, given: Json) -> dict[str, Json]:
    """The names for a step's expressions. A bare name is looked up in the step's input, then in the run's input."""
    found: dict[str, Json] = {}
    layers = [run.input, given]
    if step.definition.payload is not None:
        # A payload is config as well as input, so what the parent hands down stays in reach beside it.
        layers.insert(1, _handed_down(step, run, steps))
    for layer in layers:
        if isinstance(layer, dict):
            found.update(layer)
    found.update(_reserved(run, read_by(step, steps)))
    return found


def item_names(run: RunFacts, steps: Steps, *, item: Json, index: int) -> dict[str, Json]:
    """The names for the expressions of one item of a for_each; bare names are the item's own keys."""
    bare = dict(item) if isinstance(item, dict) else {}
    return {**bare, **_reserved(run, steps), "item": item, "index": index}


def output_names(run: RunFacts, steps: Steps) -> dict[str, Json]:
    """The names for the definition's `output` expression."""
    bare = dict(run.input) if isinstance(run.input, dict) else {}
    return {**bare, **_reserved(run, steps)}


def read_by(step: PlannedStep, steps: Steps) -> Steps:
    """The rows that its expressions may look at: few, even where a link has thousands of steps."""
    if ANY_STEP in step.reads:
        return steps
    return {key: steps[key] for key in step.reads if key in steps}


def _handed_down(step: PlannedStep, run: RunFacts, steps: Steps) -> Json:
    if not step.predecessors:
        return run.input
    if len(step.predecessors) == 1:
        row = steps.get(step.predecessors[0])
        return None if row is None else row.get("output")
    return {
        parent: steps[parent].get("output")
        for parent in step.predecessors
        if parent in steps and steps[parent].get("state") != "skipped"
    }


def _reserved(run: RunFacts, steps: Steps) -> dict[str, Json]:
    # A dict of its own: the steps' grows while the link goes on, and may end up in an output.
    began = iso(datetime.fromtimestamp(run.began, UTC))
    return {
        "input": run.input,
        "steps": dict(steps),
        "run": {
            "id": str(run.id),
            "started_at": began,
            "outcome": run.outcome,
        },
    }
