"""Check a step's config against its action's config class before anything is stored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from actions import expressions, registry
from actions.base import Action, Json
from workflows.complaints import complaints, location, shown
from workflows.errors import Problem, join_path, nearest

# Config fields whose texts are bare expressions, as in `if`, by action.
_BARE = {"condition": "expression", "transform": "map"}


def find_action(name: str) -> Action[Any] | None:
    """The action of this name or alias, or None."""
    try:
        return registry.get(name)
    except registry.UnknownAction:
        return None


def unknown_action(name: str, *, path: str) -> Problem:
    """The problem of naming an action that does not exist."""
    return Problem(path, f"there is no action {shown(name)}{nearest(name, registry.names())}")


def config_problems(action: Action[Any], config: Json, *, path: str) -> list[Problem]:
    """What is wrong with a config. Values that hold expressions have no type yet; keys are always checked."""
    if isinstance(config, str) and expressions.has_expression(config):
        return expression_problems(action, config, path=path)
    if not isinstance(config, dict):
        return [Problem(path, f"must be a mapping of the action's config, not {shown(config)}")]
    wrong = expression_problems(action, config, path=path)
    try:
        action.config_class.model_validate(config)
    except ValidationError as error:
        kept = [each for each in error.errors() if not _excused(location(each, config), each["type"], config, action)]
        if kept:
            known = {problem.path for problem in wrong}
            places = {join_path(path, *location(each, config)) for each in kept}
            found = complaints(error, model=action.config_class, given=config, path=path)
            wrong += [each for each in found if each.path in places and each.path not in known]
    return wrong


def expression_problems(action: Action[Any], config: Json, *, path: str) -> list[Problem]:
    """What is wrong with the expressions in a config, wrapped ones and bare ones."""
    wrong = [Problem(where, message) for where, message in expressions.check(config, path=path)]
    for where, source in _bare(action, config, path=path):
        message = expressions.check_expression(source)
        if message and where not in {problem.path for problem in wrong}:
            wrong.append(Problem(where, message))
    return wrong


def config_references(action: Action[Any], config: Json) -> frozenset[str]:
    """Ids of the steps that a config's expressions look at; '*' stands for ones not known before it runs."""
    found = expressions.references(config)
    for _, source in _bare(action, config, path=""):
        found |= expressions.expression_references(source)
    return found


def uses_raw(action: Action[Any], config: Json) -> bool:
    """Whether the config has a field that the action itself evaluates against its input."""
    return isinstance(config, dict) and not action.raw.isdisjoint(config)


def _bare(action: Action[Any], config: Json, *, path: str) -> Iterator[tuple[str, str]]:
    field = _BARE.get(action.name)
    value = config.get(field) if field and isinstance(config, dict) else None
    if isinstance(value, str):
        yield join_path(path, field or ""), value
    elif isinstance(value, dict):
        for key, source in value.items():
            if isinstance(source, str):
                yield join_path(path, field or "", key), source


def _excused(parts: list[str | int], kind: str, config: dict[str, Json], action: Action[Any]) -> bool:
    if kind in {"missing", "extra_forbidden"} or (parts and parts[0] in action.raw):
        return False
    here: Any = config
    for part in parts:
        here = here[part]
    return expressions.has_expression(here)
