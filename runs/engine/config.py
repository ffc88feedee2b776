"""A step's config: its expressions are rendered, and its action's config class validates the result."""

from __future__ import annotations

import math

from pydantic import ValidationError

from actions.base import Config, Json, Permanent
from runs.planning.steps import PlannedStep
from workflows.definitions.complaints import complaints

# Faults of one config that its error lists.
MOST_SHOWN = 20
# Faults that show the value: it stands where a number, a boolean or a word belongs, and not where a secret may stand.
_SAY_VALUE = frozenset({"int_type", "float_type", "bool_type", "literal_error"})


def rendered(step: PlannedStep, scope: dict[str, Json], *, given: Json) -> Json:
    """Return the step's config with its expressions rendered, except in fields that the action evaluates itself.

    Raises Permanent if an expression makes null or empty what would then count as left out.
    """
    if step.definition.payload is not None:
        # A payload is the step's input and its config at once; so is an input that replaced it at a retry by hand.
        return step.action.from_payload(given)
    if step.config.secrets and "secrets" not in scope:
        # What is recorded and shown names the secrets; runs.engine.credentials renders once more, with their values.
        scope = {**scope, "secrets": step.config.markers}
    found = step.config.rendering.render(scope)
    if (emptied := step.config.emptied(found)) is not None:
        path, what = emptied
        raise Permanent(
            f"step {step.id!r}: {path} comes to {what}; give it a value, or leave it out on purpose with "
            "{{ omit }}, as in {{ input.x|default(omit, true) }}",
            kind="config",
            details={"path": path},
        )
    return found


def fitted(step: PlannedStep, used: Json) -> Config:
    """Validate the rendered config and return it as the action's config class. Raises Permanent if it is invalid.

    A pure step's config without expressions is validated once for all runs.
    """
    if step.config.fixed is not None:
        return step.config.fixed
    try:
        config = step.config.validated(used)
    except ValidationError as error:
        raise _unfit(step, error, used) from None
    return config if step.action.timeout_field is None else _within_attempt(step, config)


def _within_attempt(step: PlannedStep, config: Config) -> Config:
    """Return the config, if the time that it gives to what the action does is no more than the attempt has.

    Raises Permanent for a longer one that was computed. One that is written out was refused at publish; in a version
    of an earlier release the attempt's timeout holds, as it did there.
    """
    field = step.action.timeout_field or ""
    own, longest = getattr(config, field), step.timeout_seconds
    if own is None or own <= longest:
        return config
    if step.config.own_seconds != math.inf:
        return config.model_copy(update={field: longest})
    raise Permanent(
        f"step {step.id!r}: with.{field} is {own:g} s, but the attempt may take {longest:g} s; make the step's timeout "
        "longer, or leave it out",
        kind="config",
        details={"path": f"with.{field}"},
    )


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
