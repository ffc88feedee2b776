"""Check a definition's `inputs`, which is a JSON Schema, and judge what it costs to check values by it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jsonschema_rs

from workflows.definitions import schema_cost
from workflows.definitions.errors import Problem, join_path
from workflows.definitions.json_schema import Fault, compile_schema, shortened


def schema_problems(schema: Mapping[str, Any], *, path: str) -> list[Problem]:
    """Return what is wrong with the schema itself; too dear is wrong, too."""
    # First, because a schema is compiled without any limit.
    fault = schema_cost.cost_of(schema).fault
    if fault:
        return [Problem(path, fault)]
    try:
        compile_schema(schema)
    except jsonschema_rs.ValidationError as error:
        where = join_path(path, *error.instance_path)
        return [Problem(where, f"is no valid JSON Schema: {shortened(error.message)}")]
    except (jsonschema_rs.ReferencingError, ValueError) as error:
        return [Problem(path, f"is no valid JSON Schema: {shortened(str(error).splitlines()[0])}")]
    return []


def input_problems(faults: list[Fault], *, path: str) -> list[Problem]:
    """Return the violations of a schema as problems below this path."""
    return [Problem(join_path(path, *fault.trail), fault.message) for fault in faults]
