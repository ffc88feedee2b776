"""A step's config: rendered from its expressions, and checked by its action's class."""

from __future__ import annotations

from pydantic import ValidationError

from actions.base import Config, Json, Permanent
from runs.planning.steps import PlannedStep


def rendered(step: PlannedStep, scope: dict[str, Json], *, given: Json) -> Json:
    """The step's config as its action gets it: expressions rendered, but for the fields it evaluates itself."""
    if step.definition.payload is not None:
        # A payload is input and config at once, and so is what was put in its place.
        return step.action.from_payload(given)
    return step.rendering.render(scope)


def fitted(step: PlannedStep, used: Json) -> Config:
    """Return the rendered config as the action's own class; a config without expressions was checked once for all runs.

    Raises Permanent where it does not fit.
    """
    if step.fixed_config is not None:
        return step.fixed_config
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
