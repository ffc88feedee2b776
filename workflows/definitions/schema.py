"""Check `inputs`, a JSON Schema, and a run's input by it. Fetches nothing; patterns run in linear time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jsonschema_rs

from actions.base import Json
from workflows.definitions.errors import Problem, join_path

_MAX_PROBLEMS = 20


def compile_schema(schema: Mapping[str, Any]) -> jsonschema_rs.Validator:
    """A validator for this schema. Raises ValidationError, ReferencingError or ValueError."""
    return jsonschema_rs.validator_for(
        dict(schema), offline=True, validate_formats=True, pattern_options=jsonschema_rs.RegexOptions()
    )


def schema_problems(schema: Mapping[str, Any], *, path: str) -> list[Problem]:
    """What is wrong with a schema itself."""
    try:
        compile_schema(schema)
    except jsonschema_rs.ValidationError as error:
        where = join_path(path, *error.instance_path)
        return [Problem(where, f"is no valid JSON Schema: {error.message}")]
    except (jsonschema_rs.ReferencingError, ValueError) as error:
        return [Problem(path, f"is no valid JSON Schema: {str(error).splitlines()[0]}")]
    return []


def input_problems(validator: jsonschema_rs.Validator, value: Json, *, path: str) -> list[Problem]:
    """What is wrong with a value, the first 20 faults."""
    found = []
    for error in validator.iter_errors(value):
        message = error.message if len(error.message) <= 300 else f"{error.message[:297]}..."
        found.append(Problem(join_path(path, *error.instance_path), message))
        if len(found) == _MAX_PROBLEMS:
            break
    return found
