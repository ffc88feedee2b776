"""Check a run's input against the `inputs` schema of its version."""

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
    """Raise InvalidInput if this value does not match the version's `inputs` schema."""
    inputs = version.definition.get("inputs")
    if inputs is None:
        return
    problems = schema.input_problems(_validator(version.id, inputs), value, path="input")
    if problems:
        raise InvalidInput(problems)


def _validator(version_id: UUID, inputs: dict[str, Any]) -> jsonschema_rs.Validator:
    """Return the version's compiled schema from a cache, which never gets stale, as versions never change."""
    validator = _validators.get(version_id)
    if validator is None:
        if len(_validators) >= _MAX_VALIDATORS:
            _validators.clear()
        validator = _validators[version_id] = schema.compile_schema(inputs)
    return validator
