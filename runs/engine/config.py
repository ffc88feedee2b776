"""A step's config: its expressions are rendered, and its action's config class validates the result."""

from __future__ import annotations

from pydantic import ValidationError

from actions.base import Config, Json, Permanent
from runs.planning.steps import PlannedStep
from workflows.definitions.complaints import complaints

# Faults of a config that an error lists.
_MOST_FAULTS = 5


def rendered(step: PlannedStep, scope: dict[str, Json], *, given: Json) -> Json:
    """Return the step's config with its expressions rendered, except in fields that the action evaluates itself."""
    if step.definition.payload is not None:
        # A payload is the step's input and its config at once; so is an input that replaced it at a retry by hand.
        return step.action.from_payload(given)
    return step.config.rendering.render(scope)


def fitted(step: PlannedStep, used: Json) -> Config:
    """Validate the rendered config and return it as the action's config class. Raises Permanent if it is invalid.

    A pure step's config without expressions is validated once for all runs.
    """
    if step.config.fixed is not None:
        return step.config.fixed
    try:
        return step.action.config_class.model_validate(used)
    except ValidationError as error:
        found = complaints(error, model=step.action.config_class, given=used, path="with")
        more = f"; and {len(found) - _MOST_FAULTS} more" if len(found) > _MOST_FAULTS else ""
        faults = "; ".join(map(str, found[:_MOST_FAULTS])) + more
        raise Permanent(f"step {step.id!r}: {faults}", kind="config") from None
