"""A step's config: its expressions are rendered, and its action's config class validates the result."""

from __future__ import annotations

from pydantic import ValidationError

from actions.base import Config, Json, Permanent
from runs.planning.steps import PlannedStep
from workflows.definitions.complaints import complaints

# Faults of one config that its error lists.
MOST_SHOWN = 20


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
        return step.config.validated(used)
    except ValidationError as error:
        raise _unfit(step, error, used) from None


def accepted(step: PlannedStep, used: Json) -> Config:
    """Return the config of a step that waits, which was validated when the wait began. Raises Permanent."""
    try:
        return step.config.accepted(used)
    except ValidationError as error:
        raise _unfit(step, error, used) from None


def _unfit(step: PlannedStep, error: ValidationError, used: Json) -> Permanent:
    found = complaints(error, model=step.action.config_class, given=used, path="with")
    more = f"; and {len(found) - MOST_SHOWN} more" if len(found) > MOST_SHOWN else ""
    return Permanent(f"step {step.id!r}: {'; '.join(map(str, found[:MOST_SHOWN]))}{more}", kind="config")
