"""Warn of names that expressions of other systems read, and that have no value here unless an input has such a key."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import orjson

from actions import expressions
from actions.base import Json
from actions.expressions import hints
from workflows.definitions.configs import config_names, find_action
from workflows.definitions.definition import Definition, StepDefinition

_FOREIGN = frozenset(["inputs", "outputs", "step", "nodes", "tasks", "jobs", "needs"]) | hints.NOT_HERE
_MENTIONED = re.compile(rb"\b(?:" + b"|".join(name.encode() for name in sorted(_FOREIGN)) + rb")\b")
# So many warnings are given at most for one definition.
MOST_WARNINGS = 20


def name_warnings(definition: Definition) -> Iterator[str]:
    """Yield a warning for each place whose expressions read a name of another system."""
    properties = definition.inputs.get("properties") if definition.inputs is not None else None
    known = frozenset(properties) if isinstance(properties, dict) else frozenset()
    for path, names in _read(definition):
        for name in sorted((names & _FOREIGN) - known):
            right = hints.NAMES.get(name)
            hint = f"did you mean `{right}`?" if right else "give the run what it needs as input"
            yield f"{path} reads `{name}`, which has a value only if the step's or the run's input has that key; {hint}"


def _read(definition: Definition) -> Iterator[tuple[str, frozenset[str]]]:
    """Yield (path, names that its expressions read) for each place that mentions one of the names at all."""
    if _mentions(definition.output):
        yield "output", expressions.names_in(definition.output)
    parts = {"steps": definition.steps, "on_failure": definition.on_failure, "finally": definition.finally_}
    for part, steps in parts.items():
        for index, step in enumerate(steps):
            for key, names in _read_by(step):
                yield f"{part}[{index}].{key}", names


def _read_by(step: StepDefinition) -> Iterator[tuple[str, frozenset[str]]]:
    yield from _config(step.action, step.with_, key="with")
    if step.if_ is not None and _mentions(step.if_):
        yield "if", expressions.names_in(f"{{{{ {step.if_} }}}}") | expressions.names_in(step.if_)
    if step.for_each is not None and _mentions(step.for_each.items):
        yield "for_each.items", expressions.names_in(step.for_each.items)
    if step.compensate is not None:
        yield from _config(step.compensate.action, step.compensate.with_, key="compensate.with")


def _config(name: str, config: Json, *, key: str) -> Iterator[tuple[str, frozenset[str]]]:
    action = find_action(name)
    if action is not None and _mentions(config):
        yield key, config_names(action, config)


def _mentions(value: Any) -> bool:
    return bool(value) and _MENTIONED.search(orjson.dumps(value)) is not None
