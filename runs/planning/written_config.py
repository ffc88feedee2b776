"""A step's config as written: what follows from it and from the action is computed once for all steps of a plan."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import takewhile
from typing import Any

import orjson
from django.utils.functional import cached_property
from pydantic import ValidationError

from actions import expressions, paths
from actions.base import ACCEPTED, Action, Config, Json, Use
from actions.durations import seconds
from workflows.definitions.configs import config_names, config_references
from workflows.definitions.definition import StepDefinition
from workflows.definitions.secret_fields import secret_fields

# What `WrittenConfig.awaits` is where only the run can tell which signal is meant.
ANY_SIGNAL = "*"


_TEXT_MAY_BE_EMPTY = frozenset({Use.PLAIN, Use.PROSE, Use.QUERY})
_MAY_BE_EMPTY = frozenset({Use.PLAIN, Use.PROSE})


def _emptied(used: Any, place: tuple[str, ...], use: Use) -> tuple[tuple[str, ...], str] | None:
    """Return the place and the kind of a value, `null` or empty, that is refused for this use.

    It is the value at the given place, or null in an object there.
    """
    here = used
    for key in place:
        if not isinstance(here, dict) or key not in here:
            return None
        here = here[key]
    if isinstance(here, dict):
        null = next((key for key, part in here.items() if part is None), None)
        if null is not None:
            return (*place, null), "null"
    what = _nothing(here, use, whole=len(place) == 1)
    return None if what is None else (place, what)


def _nothing(here: Any, use: Use, *, whole: bool) -> str | None:
    if here is None:
        return "null"
    if here == "" and (use not in _TEXT_MAY_BE_EMPTY or (use is Use.QUERY and whole)):
        return "an empty text"
    if isinstance(here, (list, dict)) and not here and use not in _MAY_BE_EMPTY:
        return "an empty list" if isinstance(here, list) else "an empty object"
    return None


class WrittenConfig:
    """The config of a step as written, `with` or `payload`, and its action.

    Steps of a plan in which both are equal share one: then its expressions are parsed once, and not for each branch
    of a fan-out. What is derived is computed at its first use.
    """

    def __init__(self, definition: StepDefinition, action: Action[Config], *, reads_secrets: bool = True) -> None:
        self._action = action
        self._reads_secrets = reads_secrets and not (action.pure or action.parks)
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
        return expressions.Template(self._with, raw=self._action.raw, uses=self._uses)

    @cached_property
    def _uses(self) -> Mapping[str, Use]:
        keys = self._with if isinstance(self._with, dict) else ()
        return {key: self._action.config_class.use_of(key) for key in keys}

    @cached_property
    def _computed(self) -> tuple[tuple[tuple[str, ...], Use], ...]:
        """Places of values that expressions give, by their keys; one in a list is the place of the list.

        Those whose values may be null or empty are left out.
        """
        if not isinstance(self._with, dict):
            return ()
        asked = {key: part for key, part in self._with.items() if key not in self._action.raw and self._checks(key)}
        found: dict[tuple[str, ...], Use] = {}
        for trail, part in paths.walk(asked):
            if isinstance(part, str) and expressions.has_expression(part):
                found[tuple(takewhile(lambda key: isinstance(key, str), trail))] = self._uses[trail[0]]
        return tuple(found.items())

    def _checks(self, key: str) -> bool:
        return self._action.config_class.use_of(key) is not Use.PAYLOAD

    def emptied(self, used: Json) -> tuple[str, str] | None:
        """Return path and kind of a field that an expression made null or empty, where that would mean "left out".

        None if there is no such field. A field that `omit` has left out is none.
        """
        places = self._computed
        if isinstance(self._with, str) and isinstance(used, dict):
            places = tuple(((key,), self._action.config_class.use_of(key)) for key in used if self._checks(key))
        for place, use in places:
            fault = _emptied(used, place, use)
            if fault is not None:
                return paths.join("with", *fault[0]), fault[1]
        return None

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
    def own_seconds(self) -> float | None:
        """The seconds that the config gives to what the action does (Action.timeout_field).

        Infinite if only the run can tell; None if it gives none.
        """
        field = self._action.timeout_field
        if field is None:
            return None
        if not isinstance(self.template, dict):
            return math.inf
        value = self.template.get(field)
        if expressions.has_expression(value):
            return math.inf
        try:
            return None if value is None else seconds(value)
        except ValueError:
            return None  # every attempt fails, and says so

    @cached_property
    def awaits(self) -> str | None:
        """The name of the signal that the action waits for; `*` if only the run can tell, None if it waits for none."""
        field = self._action.signal_field
        if field is None:
            return None
        name = self.template.get(field) if isinstance(self.template, dict) else None
        return ANY_SIGNAL if not isinstance(name, str) or expressions.has_expression(name) else name

    @cached_property
    def secrets(self) -> tuple[tuple[str, str], ...]:
        """The credentials and fields that its expressions read, `{{ secrets.crm.token }}`; none in a `payload`."""
        if not self._reads_secrets or self._payload is not None or not self.has_expressions:
            return ()
        return tuple(dict.fromkeys(secret_fields(self._with, raw=self._action.raw)))

    @cached_property
    def markers(self) -> dict[str, Json]:
        """What is recorded in place of these secrets."""
        found: dict[str, Json] = {}
        for name, key in self.secrets:
            fields = found.setdefault(name, {})
            if isinstance(fields, dict):
                fields[key] = f"[secret {name}.{key}]"
        return found

    @cached_property
    def credentials(self) -> frozenset[str]:
        """The names of the credentials that its steps may open: those that stand in `with` as written."""
        if self._action.pure or self._action.parks or self._payload is not None or not isinstance(self._with, dict):
            return frozenset()
        named = self._with.get("credential")
        own = {named} if isinstance(named, str) and not expressions.has_expression(named) else set()
        return frozenset(own | {name for name, _ in self.secrets})

    @cached_property
    def reads_variables(self) -> bool:
        """Whether its expressions may read variables of the workspace."""
        return "vars" in str(self.template) and "vars" in config_names(self._action, self.template)

    @cached_property
    def references(self) -> frozenset[str]:
        """Ids of the steps that its expressions name; `*` means every step."""
        return config_references(self._action, self.template)


class WrittenConfigs:
    """The written configs of one plan."""

    def __init__(self, *, reads_secrets: bool = True) -> None:
        self._reads_secrets = reads_secrets
        self._known: dict[tuple[str, str | None, bytes], WrittenConfig] = {}

    def of(self, definition: StepDefinition, action: Action[Config]) -> WrittenConfig:
        """Return the written config of a step, which it shares with every step that has an equal one."""
        try:
            key = (definition.action, definition.payload, orjson.dumps(definition.with_))
        except TypeError:  # an integer beyond 64 bits, or nested too deep: it is compared with no other
            return WrittenConfig(definition, action, reads_secrets=self._reads_secrets)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = WrittenConfig(definition, action, reads_secrets=self._reads_secrets)
        return found
