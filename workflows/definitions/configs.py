"""Check a step's config, as written, against its action's config class and the rules of expressions."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice
from typing import Any, cast

from pydantic import ValidationError

from actions import expressions, registry
from actions.base import Action, Json
from actions.expressions.reads import Read, expression_reads, reads
from workflows.definitions.complaints import MOST_ERRORS, complaints, location, shown
from workflows.definitions.errors import MOST_PROBLEMS, MOST_SECONDS, Problem, join_path

# By action: the config field whose strings are bare expressions, without `{{ }}`.
_BARE = {"condition": "expression", "filter": "where", "switch": "routes", "transform": "map"}
# By action: the config fields that make the action read the step's input.
_OF_INPUT = {
    "aggregate": frozenset({"fields"}),
    "dedupe": frozenset({"by", "keep", "missing"}),
    "merge": frozenset({"mode"}),
    "sort": frozenset({"by", "order", "as"}),
    "split": frozenset({"path"}),
    "transform": frozenset({"select", "rename"}),
}
_ABOUT_KEYS = frozenset({"missing", "extra_forbidden"})


def find_action(name: str) -> Action[Any] | None:
    """Return the action with this name or alias, or None."""
    try:
        return registry.get(name)
    except registry.UnknownAction:
        return None


def unknown_action(name: str, *, path: str) -> Problem:
    """Return the problem that there is no action with this name."""
    hint = registry.suggestion(name) or f"; known are {', '.join(registry.names())}"
    return Problem(path, f"there is no action {shown(name)}{hint}")


def config_problems(action: Action[Any], config: Json, *, path: str) -> list[Problem]:
    """Return the problems of a config as written in a definition.

    The type of a value that has expressions is not checked, as it is known only once they are rendered. Keys are
    always checked.
    """
    if isinstance(config, str) and expressions.has_expression(config):
        return expression_problems(action, config, path=path)
    if not isinstance(config, dict):
        return [_no_mapping(config, path=path)]
    problems = expression_problems(action, config, path=path)
    error = _validation_error(action, config)
    if error is None:
        return problems + _faults(action, config, path=path)
    if error.error_count() > MOST_ERRORS:
        return problems + complaints(error, model=action.config_class, given=config, path=path)
    ignored = {problem.path for problem in problems} | _unrendered(action, config, error, path=path)
    type_problems = complaints(error, model=action.config_class, given=config, path=path)
    problems += [each for each in type_problems if each.path not in ignored]
    known = {problem.path for problem in problems}
    return problems + [each for each in _faults(action, config, path=path) if each.path not in known]


def payload_problems(action: Action[Any], config: Json, *, path: str) -> list[Problem]:
    """Return the problems of a config that a job gives as data.

    Only in the fields that the action itself evaluates (`Action.raw`) do strings count as expressions.
    """
    if not isinstance(config, dict):
        return [_no_mapping(config, path=path)]
    raw: Json = {key: value for key, value in config.items() if key in action.raw}
    problems = expression_problems(action, raw, path=path)
    known = {problem.path for problem in problems}
    problems += [each for each in _type_problems(action, config, path=path) if each.path not in known]
    if config.get("credential") is not None and "credential" in action.config_class.model_fields:
        message = "cannot be named by data; publish a workflow that names it in the `with` of a step"
        problems.append(Problem(join_path(path, "credential"), message))
    # What looks like an expression is none here.
    return problems or _faults(action, config, path=path)


def expression_problems(action: Action[Any], config: Json, *, path: str) -> list[Problem]:
    """Return the problems of a config's expressions, both those in `{{ }}` and bare ones."""
    problems = {where: Problem(where, message) for where, message in expressions.check(config, path=path)}
    length = 0
    began = time.thread_time()
    for where, source in _bare(action, config, path=path):
        length += len(source)
        if length > expressions.MAX_EXPRESSIONS or len(problems) >= MOST_PROBLEMS:
            problems.setdefault(where, Problem(where, expressions.TOO_MANY))
            break
        message = expressions.check_expression(source)
        if message:
            problems.setdefault(where, Problem(where, message))
            if time.thread_time() - began > MOST_SECONDS:
                break
    return [*problems.values()]


def config_references(action: Action[Any], config: Json) -> frozenset[str]:
    """Return the ids of the steps that a config's expressions read; `*` for a step known only when it is evaluated."""
    step_ids = expressions.references(config)
    for _, source in _bare(action, config, path=""):
        step_ids |= expressions.expression_references(source)
    return step_ids


def config_reads(action: Action[Any], config: Json, *, path: str) -> list[Read]:
    """Return what each of a config's expressions reads, both those in `{{ }}` and bare ones."""
    found = {(read.where, read.source): read for read in reads(config, path=path)}
    for where, source in _bare(action, config, path=path):
        found.update(((read.where, read.source), read) for read in expression_reads(source, path=where))
    return [*found.values()]


def config_names(action: Action[Any], config: Json) -> frozenset[str]:
    """Return the top-level names that a config's expressions read, such as `input` and `steps`."""
    bare = (expressions.names_in(f"{{{{ {source} }}}}") for _, source in _bare(action, config, path=""))
    return expressions.names_in(config).union(*bare)


def works_on_input(action: Action[Any], config: Json) -> bool:
    """Whether the config makes the action read the step's input, so that the config cannot be the input as well."""
    return isinstance(config, dict) and not (action.raw | _OF_INPUT.get(action.name, frozenset())).isdisjoint(config)


def _faults(action: Action[Any], config: dict[str, Json], *, path: str) -> list[Problem]:
    return [
        Problem(join_path(path, *place), message) for place, message in islice(action.faults(config), MOST_PROBLEMS)
    ]


def _type_problems(action: Action[Any], config: dict[str, Json], *, path: str) -> list[Problem]:
    error = _validation_error(action, config)
    return complaints(error, model=action.config_class, given=config, path=path) if error else []


def _validation_error(action: Action[Any], config: dict[str, Json]) -> ValidationError | None:
    try:
        action.config_class.model_validate(config)
    except ValidationError as error:
        return error
    return None


def _unrendered(action: Action[Any], config: dict[str, Json], error: ValidationError, *, path: str) -> set[str]:
    """Return the paths of errors whose value has expressions, so that its type is known only once it is rendered."""
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
    elif isinstance(value, list):
        for index, part in enumerate(value):
            if isinstance(part, dict) and isinstance(when := part.get("when"), str):
                yield join_path(path, field or "", index, "when"), when
