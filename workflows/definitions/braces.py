"""Find `{{ }}` where nothing renders it: in the keys of mappings, and in the names of labels."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import orjson

from actions import paths
from workflows.definitions.definition import Definition, StepDefinition
from workflows.definitions.errors import Problem, join_path

# An expression with one of the names that expressions of ours read.
_OURS = re.compile(r"\{\{[^{}]*?(?<![\w.$'\"-])(?:input|steps|item|run|vars|secrets)\b")
# JSON in which a key may have a brace. Linear, as it stops at the next brace.
_IN_A_KEY = re.compile(rb'\{[^"{]*":')
# So many warnings are given at most for one definition.
MOST_WARNINGS = 20


def brace_problems(definition: Definition) -> Iterator[Problem]:
    """Yield a problem for each key with an expression that reads a name of ours: its author expects it to be rendered.

    Titles, descriptions, JSON Schemas and triggers are not looked at.
    """
    for path, key in _keys(definition):
        if _OURS.search(key):
            yield Problem(path, "has an expression in a key, and keys are not rendered; write the key itself")


def brace_warnings(definition: Definition) -> Iterator[str]:
    """Yield a warning for each other key with braces, which may be meant for another system."""
    for path, key in _keys(definition):
        if not _OURS.search(key):
            yield f"{path} has {{{{ in a key, which is kept as it is: keys are not rendered"


def _keys(definition: Definition) -> Iterator[tuple[str, str]]:
    """Yield (path, key) for each key with `{{`, where a mapping may have any key."""
    yield from _keys_of(definition.labels, path="labels")
    yield from _keys_of(definition.output, path="output")
    parts = {"steps": definition.steps, "on_failure": definition.on_failure, "finally": definition.finally_}
    for part, steps in parts.items():
        for index, step in enumerate(steps):
            yield from _keys_of_step(step, path=f"{part}[{index}]")


def _keys_of_step(step: StepDefinition, *, path: str) -> Iterator[tuple[str, str]]:
    yield from _keys_of(step.with_, path=f"{path}.with")
    if step.for_each is not None:
        yield from _keys_of(step.for_each.items, path=f"{path}.for_each.items")
    if step.compensate is not None:
        yield from _keys_of(step.compensate.with_, path=f"{path}.compensate.with")


def _keys_of(value: Any, *, path: str) -> Iterator[tuple[str, str]]:
    # First as JSON, which is quick: nearly no config has such a key.
    if not isinstance(value, (dict, list)) or not _IN_A_KEY.search(orjson.dumps(value)):
        return
    for trail, part in paths.walk(value):
        if isinstance(part, dict):
            for key in part:
                if "{{" in key:
                    yield join_path(path, *trail, key), key
