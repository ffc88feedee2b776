"""Check a run's input against its version's schema."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import jsonschema_rs

from actions.base import Json
from workflows.definitions import schema
from workflows.definitions.errors import InvalidInput
from workflows.models import Version

_MAX_VALIDATORS = 1000

_validators: dict[UUID, jsonschema_rs.Validator] = {}


def check_input(version: Version, value: Json) -> None:
    """Raises InvalidInput if the version's `inputs` schema refuses this value as a run's input."""
    inputs = version.definition.get("inputs")
    if inputs is None:
        return
    problems = schema.input_problems(_validator(version.id, inputs), value, path="input")
    if problems:
        raise InvalidInput(problems)


def _validator(version_id: UUID, inputs: dict[str, Any]) -> jsonschema_rs.Validator:
    """Compiled once per version, which never changes."""
    validator = _validators.get(version_id)
    if validator is None:
        if len(_validators) >= _MAX_VALIDATORS:
            _validators.clear()
        validator = _validators[version_id] = schema.compile_schema(inputs)
    return validator
