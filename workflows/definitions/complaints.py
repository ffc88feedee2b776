"""Translate Pydantic's errors into problems for the author of a workflow: path, message, hint."""

from __future__ import annotations

import itertools
import types
import typing
from collections.abc import Iterator

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from actions.base import Json
from workflows.definitions.errors import Problem, join_path, nearest

# Messages that replace Pydantic's, by the last key of the path.
_MESSAGES = {
    "on_error": "must be fail, continue or goto:<id of a step>",
    "name": "must not begin with an underscore or hold control characters",
    "policy": "must be queue, skip or cancel_running",
    "join": "must be all_succeeded, none_failed, all_done, any_succeeded or any_failed",
}


def complaints(error: ValidationError, *, model: type[BaseModel], given: Json, path: str) -> list[Problem]:
    """Return one problem for each faulty place in `given`, which `model` refused.

    Pydantic reports one error for each member of a union; only the first of them is kept.
    """
    problems: dict[str, Problem] = {}
    for details in error.errors(include_url=False, include_context=False):
        if details["type"] == "too_short" and details["input"]:
            continue  # a list whose items were refused; each of them has an error of its own
        parts = location(details, given)
        where = join_path(path, *parts)
        problems.setdefault(where, Problem(where, _message(details, parts, model)))
    return list(problems.values())


def location(details: ErrorDetails, given: Json) -> list[str | int]:
    """Return the error's path in the given value, without the parts that Pydantic adds for unions and validators."""
    parts: list[str | int] = []
    here = given
    for part in details["loc"]:
        known = isinstance(here, dict) and part in here
        if known or (isinstance(here, list) and isinstance(part, int) and part < len(here)):
            here = here[part]  # type: ignore[index]  # looked up just before
        elif details["type"] != "missing" or part != details["loc"][-1]:
            continue
        parts.append(part)
    return parts


def shown(value: object) -> str:
    """Return a value as it appears in a message: its repr, at most 60 characters."""
    text = repr(_beginning(value))
    return text if len(text) <= 60 else f"{text[:57]}..."


def _beginning(value: object) -> object:
    """Return as much of a value as its repr shows in 60 characters, so that the repr of 10 MB is never made."""
    if isinstance(value, str):
        return value[:61]
    if type(value) is dict:
        return {_beginning(key): _beginning(part) for key, part in itertools.islice(value.items(), 30)}
    return [_beginning(part) for part in value[:30]] if type(value) is list else value


def _message(details: ErrorDetails, parts: list[str | int], model: type[BaseModel]) -> str:
    kind, value = details["type"], details["input"]
    last = str(parts[-1]) if parts else ""
    if kind == "missing":
        return "is required"
    if kind == "extra_forbidden":
        return f"is not a known key{nearest(last, _keys_at(model, parts[:-1]))}"
    if last in _MESSAGES and isinstance(value, str) and kind in {"string_pattern_mismatch", "enum"}:
        return f"{_MESSAGES[last]}, not {shown(value)}"
    message = details["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    return message if kind == "value_error" else f"{message}, not {shown(value)}"


def _keys_at(model: type[BaseModel], parts: list[str | int]) -> list[str]:
    here: type[BaseModel] | None = model
    for part in parts:
        if isinstance(part, str) and here is not None:
            fields = here.model_fields
            field = fields.get(part) or next((f for f in fields.values() if f.alias == part), None)
            here = next(_models_in(field.annotation), None) if field else None
    return [field.alias or name for name, field in here.model_fields.items()] if here else []


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        if issubclass(annotation, BaseModel):
            yield annotation
        return
    for argument in typing.get_args(annotation):
        yield from _models_in(argument)
