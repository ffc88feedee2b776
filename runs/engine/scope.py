"""The input of a step, and the names that its expressions can use."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from actions import expressions
from actions.base import Json
from actions.moments import iso
from runs.domain.outcomes import LoadedSteps, RunFacts
from runs.planning.steps import ANY_STEP, PlannedStep

# The variables of the workspace; None where the version reads none.
Variables = Mapping[str, Json] | None


def step_input(step: PlannedStep, run: RunFacts, steps: LoadedSteps) -> Json:
    """Return the step's input: its `payload`, if it has one, or what its predecessors hand down.

    Without a predecessor that is the run's input; with one, that step's output; with several, `{step: output}`, from
    which skipped steps are left out.
    """
    if step.definition.payload is not None:
        return expressions.render(step.definition.payload, _reserved(run, read_by(step, steps)))
    return _handed_down(step, run, steps)


def names(
    step: PlannedStep, run: RunFacts, steps: LoadedSteps, *, given: Json, variables: Variables = None
) -> dict[str, Json]:
    """Return the names for a step's expressions. A bare name means a key of the step's input, else of the run's."""
    found: dict[str, Json] = {}
    layers = [run.input, given]
    if step.definition.payload is not None:
        # The payload replaces the step's input; so what its predecessors hand down is added, between the two.
        layers.insert(1, _handed_down(step, run, steps))
    for layer in layers:
        if isinstance(layer, dict):
            found.update(layer)
    found.update(_reserved(run, read_by(step, steps)))
    _add(variables, found)
    return found


def item_names(
    run: RunFacts, steps: LoadedSteps, *, item: Json, index: int, variables: Variables = None
) -> dict[str, Json]:
    """Return the names for the expressions of one item of a for_each. A bare name means a key of the item."""
    bare = dict(item) if isinstance(item, dict) else {}
    _add(variables, bare)
    return {**bare, **_reserved(run, steps), "item": item, "index": index}


def _add(variables: Variables, names: dict[str, Json]) -> None:
    """Add `vars`, the variables of the workspace, if there are any.

    An input that has a key `vars` of its own was read by that name before there were variables: what it has, and no
    variable is named like, stays readable.
    """
    if variables:
        own = names.get("vars")
        names["vars"] = {**own, **variables} if isinstance(own, dict) else dict(variables)


def output_names(run: RunFacts, steps: LoadedSteps) -> dict[str, Json]:
    """Return the names for the workflow's `output` expression. A bare name means a key of the run's input."""
    bare = dict(run.input) if isinstance(run.input, dict) else {}
    return {**bare, **_reserved(run, steps)}


def read_by(step: PlannedStep, steps: LoadedSteps) -> LoadedSteps:
    """Return the steps that this step's expressions can read: few, even if thousands are loaded for its link."""
    if ANY_STEP in step.reads:
        return steps
    return {key: steps[key] for key in step.reads if key in steps}


def _handed_down(step: PlannedStep, run: RunFacts, steps: LoadedSteps) -> Json:
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


def _reserved(run: RunFacts, steps: LoadedSteps) -> dict[str, Json]:
    # A copy, because `steps` grows as the link is performed, and an expression may put it into an output.
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
