"""Check a step's config against its action's config class before anything is stored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from pydantic import ValidationError

from actions import expressions, registry
from actions.base import Action, Json
from workflows.definitions.complaints import complaints, location, shown
from workflows.definitions.errors import Problem, join_path, nearest

# Config fields whose texts are bare expressions, as in `if`, by action.
_BARE = {"condition": "expression", "transform": "map"}
# Config fields that shape the step's input, by action.
_OF_INPUT = {"transform": frozenset({"select", "rename"})}
_ABOUT_KEYS = frozenset({"missing", "extra_forbidden"})


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
    """What is wrong with a config as written. Values with expressions have no type yet; keys are always checked."""
    if isinstance(config, str) and expressions.has_expression(config):
        return expression_problems(action, config, path=path)
    if not isinstance(config, dict):
        return [_no_mapping(config, path=path)]
    wrong = expression_problems(action, config, path=path)
    error = _refusal(action, config)
    if error is None:
        return wrong
    passed_over = {problem.path for problem in wrong} | _excused(action, config, error, path=path)
    found = complaints(error, model=action.config_class, given=config, path=path)
    return wrong + [each for each in found if each.path not in passed_over]


def payload_problems(action: Action[Any], config: Json, *, path: str) -> list[Problem]:
    """What is wrong with a config that comes as data: only the fields that the action evaluates hold expressions."""
    if not isinstance(config, dict):
        return [_no_mapping(config, path=path)]
    raw: Json = {key: value for key, value in config.items() if key in action.raw}
    wrong = expression_problems(action, raw, path=path)
    known = {problem.path for problem in wrong}
    return wrong + [each for each in _type_problems(action, config, path=path) if each.path not in known]


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


def works_on_input(action: Action[Any], config: Json) -> bool:
    """Whether the config asks the action to look at the step's input, which then cannot be the config itself."""
    return isinstance(config, dict) and not (action.raw | _OF_INPUT.get(action.name, frozenset())).isdisjoint(config)


def _type_problems(action: Action[Any], config: dict[str, Json], *, path: str) -> list[Problem]:
    error = _refusal(action, config)
    return complaints(error, model=action.config_class, given=config, path=path) if error else []


def _refusal(action: Action[Any], config: dict[str, Json]) -> ValidationError | None:
    try:
        action.config_class.model_validate(config)
    except ValidationError as error:
        return error
    return None


def _excused(action: Action[Any], config: dict[str, Json], error: ValidationError, *, path: str) -> set[str]:
    """Places whose type is not known before their expressions are rendered."""
    places = [location(each, config) for each in error.errors() if each["type"] not in _ABOUT_KEYS]
    return {
        join_path(path, *place)
        for place in places
        if not (place and place[0] in action.raw) and expressions.has_expression(_value_at(config, place))
    }


def _value_at(config: dict[str, Json], parts: list[str | int]) -> Json:
    here: Any = config
    for part in parts:
        here = here[part]
    return cast(Json, here)


def _no_mapping(config: Json, *, path: str) -> Problem:
    return Problem(path, f"must be a mapping of the action's config, not {shown(config)}")


def _bare(action: Action[Any], config: Json, *, path: str) -> Iterator[tuple[str, str]]:
    field = _BARE.get(action.name)
    value = config.get(field) if field and isinstance(config, dict) else None
    if isinstance(value, str):
        yield join_path(path, field or ""), value
    elif isinstance(value, dict):
        for key, source in value.items():
            if isinstance(source, str):
                yield join_path(path, field or "", key), source
