"""Translate Pydantic's errors into problems for the author of a workflow: path, message, hint."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from actions.base import Config, Json
from workflows.definitions import secrets
from workflows.definitions.errors import MOST_PROBLEMS, Problem, join_path, nearest
from workflows.definitions.wanted import annotation_at, example, in_words, keys_at

# Pydantic makes about 1.5 kB for each error that it lists.
MOST_ERRORS = 10_000
# What is wanted instead, by the last key of the path: for a text that is none of the words that a key takes.
_MESSAGES = {
    "on_error": "must be fail, continue or goto:<id of a step>",
    "name": "must not begin with an underscore or hold control characters",
    "policy": "must be queue, skip or cancel_running",
    "join": "must be all_succeeded, none_failed, all_done, any_succeeded or any_failed",
}
# What a limit of Pydantic's asks for, by the kind of error; with the limit, and what the value has instead.
_LIMITS = {
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be {ge:g} or more",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be {le:g} or less",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
    "finite_number": "must be a finite number",
}
_PLURAL = {
    "must have at least 1 characters": "must have at least 1 character",
    "must have at least 1 entries": "must have at least 1 entry",
}
# Shown in place of a value that stands under a name such as password.
HIDDEN = "a value that is not shown, because it may be a secret"


def complaints(error: ValidationError, *, model: type[BaseModel], given: Json, path: str) -> list[Problem]:
    """Return one problem for each faulty place in `given`, which `model` refused.

    Pydantic reports one error for each member of a union; only the first of them is kept. Only the first 100 problems
    are described.
    """
    if error.error_count() > MOST_ERRORS:
        return [Problem(path, f"has {error.error_count():,} mistakes; {MOST_ERRORS:,} are listed at most")]
    problems: dict[str, Problem] = {}
    for details in error.errors(include_url=False):
        if details["type"] == "too_short" and details["input"]:
            continue  # a list whose items were refused; each of them has an error of its own
        parts = location(details, given)
        where = join_path(path, *parts)
        if where not in problems:
            problems[where] = Problem(where, _message(details, parts, model, given=given))
        if len(problems) > MOST_PROBLEMS:
            break
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
    """Return a value as it appears in a message: as JSON, but with 'single quotes', at most 60 characters."""
    text = _written(_beginning(value))
    return text if len(text) <= 60 else f"{text[:57]}..."


def _beginning(value: object) -> object:
    """Return as much of a value as 60 characters show, so that 10 MB are never written out."""
    if isinstance(value, str):
        return value[:61]
    if type(value) is dict:
        return {_beginning(key): _beginning(part) for key, part in itertools.islice(value.items(), 30)}
    return [_beginning(part) for part in value[:30]] if type(value) is list else value


def _written(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if type(value) is dict:
        return f"{{{', '.join(f'{_written(key)}: {_written(part)}' for key, part in value.items())}}}"
    return f"[{', '.join(map(_written, value))}]" if type(value) is list else repr(value)


def _message(details: ErrorDetails, parts: list[str | int], model: type[BaseModel], *, given: Json) -> str:
    """Return what is wanted, what was found, and an example. A message of our own code is taken as it is."""
    kind, value = details["type"], details["input"]
    last = parts[-1] if parts else ""
    secret = value is not None and secrets.is_secret(given, parts)
    found = annotation_at(model, parts)
    if kind == "extra_forbidden":
        return f"is not a known key{nearest(str(last), keys_at(model, parts[:-1]))}"
    sample = example(*found, key=last, value=None if secret else value) if found else ""
    if kind == "missing":
        return f"is required: {in_words(found[0])}{sample}" if found else "is required"
    seen = HIDDEN if secret else shown(value)
    if isinstance(value, str) and "{{" in value and not issubclass(model, Config):
        return f"takes no expression, as nothing renders it; it must be {_wanted(details, found)}, not {seen}{sample}"
    if kind == "value_error":
        plain = details["msg"].removeprefix("Value error, ")
        return f"must be {_wanted(details, found)}, not {HIDDEN}{sample}" if secret and found else plain
    if last in _MESSAGES and isinstance(value, str) and kind in {"string_pattern_mismatch", "enum"}:
        return f"{_MESSAGES[str(last)]}, not {seen}"
    if isinstance(value, str) and kind in ("too_short", "too_long"):
        kind = f"string_{kind}"
    if kind in _LIMITS:
        limit = _LIMITS[kind].format(**details.get("ctx", {}))
        return f"{_PLURAL.get(limit, limit)}, not {_size(value, kind) or seen}"
    return f"must be {_wanted(details, found)}, not {seen}{sample}"


def _wanted(details: ErrorDetails, found: Any) -> str:
    words = in_words(found[0]) if found else ""
    return words if words and words != "a value" else details["msg"].removeprefix("Input should be ")


def _size(value: object, kind: str) -> str:
    """Return the length of what is too long or too short; empty for a number."""
    if not isinstance(value, (str, Sequence, dict)) or not kind.endswith(("_short", "_long")):
        return ""
    return f"{len(value):,}"
