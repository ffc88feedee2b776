"""Compile a JSON Schema, and say what in a value does not match it. Imports little: helper processes load it.

References to other documents are not fetched, and patterns are matched in linear time.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any, NamedTuple

import jsonschema_rs

MAX_FAULTS = 20
_SHOWN = 300


class Fault(NamedTuple):
    """One violation of a schema: the keys and indexes that lead to it, and a message of at most 300 characters."""

    trail: list[str | int]
    message: str


def compile_schema(schema: Mapping[str, Any]) -> jsonschema_rs.Validator:
    """Return a validator for this schema. Raises ValidationError, ReferencingError or ValueError."""
    return jsonschema_rs.validator_for(
        dict(schema), offline=True, validate_formats=True, pattern_options=jsonschema_rs.RegexOptions()
    )


def faults(validator: jsonschema_rs.Validator, value: Any) -> list[Fault]:
    """Return the first 20 violations. The library makes an object for each violation before it returns the first."""
    return [
        Fault([*error.instance_path], shortened(error.message))
        for error in islice(validator.iter_errors(value), MAX_FAULTS)
    ]


def shortened(message: str) -> str:
    """Return the message, cut to 300 characters."""
    return message if len(message) <= _SHOWN else f"{message[: _SHOWN - 3]}..."
