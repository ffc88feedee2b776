"""A step's config as written: what follows from it and from the action is computed once for all steps of a plan."""

from __future__ import annotations

from typing import Any

import orjson
from django.utils.functional import cached_property
from pydantic import ValidationError

from actions import expressions
from actions.base import ACCEPTED, Action, Config, Json
from workflows.definitions.configs import config_references
from workflows.definitions.definition import StepDefinition

# What `WrittenConfig.awaits` is where only the run can tell which signal is meant.
ANY_SIGNAL = "*"


class WrittenConfig:
    """The config of a step as written, `with` or `payload`, and its action.

    Steps of a plan in which both are equal share one: then its expressions are parsed once, and not for each branch
    of a fan-out. What is derived is computed at its first use.
    """

    def __init__(self, definition: StepDefinition, action: Action[Config]) -> None:
        self._action = action
        self._with = definition.with_
        self._payload = definition.payload

    @cached_property
    def template(self) -> Json:
        """The unrendered config: `with` as written, or the reference in `payload`."""
        return self._payload if self._payload is not None else self._with

    @cached_property
    def has_expressions(self) -> bool:
        """Whether the config contains expressions, so that every run may render it differently."""
        return expressions.has_expression(self.template)

    @cached_property
    def as_written(self) -> bool:
        """Whether the config needs no rendering: it is `with`, without expressions."""
        return self._payload is None and not self.has_expressions

    @cached_property
    def rendering(self) -> expressions.Template:
        """`with` as a parsed template. Fields that the action evaluates itself are left as they are."""
        return expressions.Template(self._with, raw=self._action.raw)

    @cached_property
    def asks_steps_only(self) -> bool:
        """Whether its expressions use no other name than `steps`."""
        return self._payload is None and self.rendering.roots == frozenset({"steps"})

    @cached_property
    def fixed(self) -> Config | None:
        """The validated config of a pure action whose `with` is the same for every run; else None.

        Also None if it is invalid: then every attempt validates it and reports the errors.
        """
        if not self._action.pure or not self.as_written:
            return None
        try:
            return self.validated(self._with)
        except ValidationError:
            return None

    def validated(self, used: Json) -> Config:
        """Return a rendered config as the action's config class. Raises ValidationError.

        What is written out in the version, and not computed in the run, is taken as earlier releases took it if it does
        not fit as it is: the version was accepted when it was published, and is not judged anew.
        """
        try:
            return self._action.config_class.model_validate(used)
        except ValidationError as error:
            if self._payload is not None or not all(self._written_out(each["loc"]) for each in error.errors()):
                raise
            return self.accepted(used)

    def accepted(self, used: Json) -> Config:
        """Return a config that was accepted before, by the rules of earlier releases. Raises ValidationError."""
        return self._action.config_class.model_validate(used, strict=False, context=ACCEPTED)

    def _written_out(self, place: tuple[int | str, ...]) -> bool:
        """Whether the value at a place of the config has no expressions in it, nor is it part of a value that has."""
        here: Any = self._with
        for part in place:
            inside = isinstance(here, dict) and part in here
            if inside or (isinstance(here, list) and isinstance(part, int) and part < len(here)):
                here = here[part]
        return not expressions.has_expression(here)

    @cached_property
    def awaits(self) -> str | None:
        """The name of the signal that the action waits for; `*` if only the run can tell, None if it waits for none."""
        field = self._action.signal_field
        if field is None:
            return None
        name = self.template.get(field) if isinstance(self.template, dict) else None
        return ANY_SIGNAL if not isinstance(name, str) or expressions.has_expression(name) else name

    @cached_property
    def references(self) -> frozenset[str]:
        """Ids of the steps that its expressions name; `*` means every step."""
        return config_references(self._action, self.template)


class WrittenConfigs:
    """The written configs of one plan."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str | None, bytes], WrittenConfig] = {}

    def of(self, definition: StepDefinition, action: Action[Config]) -> WrittenConfig:
        """Return the written config of a step, which it shares with every step that has an equal one."""
        try:
            key = (definition.action, definition.payload, orjson.dumps(definition.with_))
        except TypeError:  # an integer beyond 64 bits, or nested too deep: it is compared with no other
            return WrittenConfig(definition, action)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = WrittenConfig(definition, action)
        return found
