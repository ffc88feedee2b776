"""Check a definition's `inputs`, which is a JSON Schema, and validate runs' inputs against it.

References to other documents are not fetched, and patterns are matched in linear time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jsonschema_rs

from actions.base import Json
from workflows.definitions.errors import Problem, join_path

_MAX_PROBLEMS = 20


def compile_schema(schema: Mapping[str, Any]) -> jsonschema_rs.Validator:
    """Return a validator for this schema. Raises ValidationError, ReferencingError or ValueError."""
    return jsonschema_rs.validator_for(
        dict(schema), offline=True, validate_formats=True, pattern_options=jsonschema_rs.RegexOptions()
    )


def schema_problems(schema: Mapping[str, Any], *, path: str) -> list[Problem]:
    """Return what is wrong with the schema itself."""
    try:
        compile_schema(schema)
    except jsonschema_rs.ValidationError as error:
        where = join_path(path, *error.instance_path)
        return [Problem(where, f"is no valid JSON Schema: {error.message}")]
    except (jsonschema_rs.ReferencingError, ValueError) as error:
        return [Problem(path, f"is no valid JSON Schema: {str(error).splitlines()[0]}")]
    return []


def input_problems(validator: jsonschema_rs.Validator, value: Json, *, path: str) -> list[Problem]:
    """Return the first 20 violations of the schema in a value."""
    problems = []
    for error in validator.iter_errors(value):
        message = error.message if len(error.message) <= 300 else f"{error.message[:297]}..."
        problems.append(Problem(join_path(path, *error.instance_path), message))
        if len(problems) == _MAX_PROBLEMS:
            break
    return problems
