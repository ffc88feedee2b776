"""A step's config: its expressions are rendered, and its action's config class validates the result."""

from __future__ import annotations

from pydantic import ValidationError

from actions.base import Config, Json, Permanent
from runs.planning.steps import PlannedStep


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
        faults = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc']) or 'with'}: {fault['msg']}"
            for fault in error.errors(include_url=False, include_input=False)
        )
        raise Permanent(
            f"step {step.id!r}: the config does not fit action {step.action.name!r}: {faults}", kind="config"
        ) from None
