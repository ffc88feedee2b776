"""Check a definition's `inputs`, which is a JSON Schema, and judge what it costs to check values by it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any
from urllib.parse import quote

import jsonschema_rs
import orjson

from workflows.definitions import schema_cost
from workflows.definitions.errors import MOST_PROBLEMS, Problem, join_path
from workflows.definitions.json_schema import Fault, compile_schema, faults, shortened
from workflows.definitions.schema_defaults import Defaults, TooMuch, defaults_of
from workflows.definitions.schema_words import MOST_WARNINGS, places_of_defaults, word_problems, word_warnings

# Comparisons that checking all defaults of a schema may take.
_MOST_COMPARISONS = 10_000_000
_ROOT = "urn:stepwise:inputs"


def schema_problems(schema: Mapping[str, Any], *, path: str) -> list[Problem]:
    """Return what is wrong with the schema itself; too dear is wrong, too."""
    # First, because a schema is compiled without any limit.
    cost = schema_cost.cost_of(schema)
    if cost.fault:
        return [Problem(path, cost.fault)]
    if found := [*islice(word_problems(schema, path=path), MOST_PROBLEMS)]:
        return found
    try:
        compile_schema(schema)
        return [*_default_problems(schema, cost=cost, path=path)]
    except jsonschema_rs.ValidationError as error:
        where = join_path(path, *error.instance_path)
        return [Problem(where, f"is no valid JSON Schema: {shortened(error.message)}")]
    except (jsonschema_rs.ReferencingError, ValueError) as error:
        return [Problem(path, f"is no valid JSON Schema: {shortened(str(error).splitlines()[0])}")]
    except TooMuch as error:
        return [Problem(path, str(error))]


def schema_warnings(schema: Mapping[str, Any], *, path: str) -> Iterator[str]:
    """Yield a warning for each part of a valid schema that has no effect: the first 20."""
    yield from islice(word_warnings(schema, path=path), MOST_WARNINGS)
    filled = _filled(defaults_of(schema))
    idle = (trail for trail, part in places_of_defaults(schema) if id(part) not in filled)
    for trail in islice(idle, MOST_WARNINGS):
        yield (
            f"{join_path(path, *trail, 'default')} is never filled in: only those of `properties` are, and not inside "
            "anyOf, oneOf, if and the like"
        )


def input_problems(faults: list[Fault], *, path: str) -> list[Problem]:
    """Return the violations of a schema as problems below this path."""
    return [Problem(join_path(path, *fault.trail), fault.message) for fault in faults]


def _filled(defaults: Defaults | None) -> frozenset[int]:
    return defaults.filled if defaults is not None else frozenset()


def _default_problems(schema: Mapping[str, Any], *, cost: schema_cost.Cost, path: str) -> Iterator[Problem]:
    """Yield a problem for each `default` that is filled in, but does not match the schema that it stands in."""
    filled = _filled(defaults_of(schema))
    places = [(trail, part) for trail, part in places_of_defaults(schema) if id(part) in filled]
    if not places:
        return
    values = sum(map(orjson.dumps([part["default"] for _, part in places]).count, (b",", b"[", b"{", b":")))
    if not cost.is_followed or cost.comparisons * values > _MOST_COMPARISONS:
        return  # too dear to check here; what a start does not accept with its defaults is checked without them
    own = schema["$id"] if isinstance(schema.get("$id"), str) else _ROOT
    pointers = ["".join(f"/{_escaped(key)}" for key in trail) for trail, _ in places]
    probe: dict[str, Any] = {
        "$defs": {"root": {**schema, "$id": own}},
        "properties": {str(at): {"$ref": f"{own}#{pointer}"} for at, pointer in enumerate(pointers)},
    }
    given = {str(at): part["default"] for at, (_, part) in enumerate(places)}
    try:
        validator = compile_schema(probe)
    except jsonschema_rs.ReferencingError:
        return  # its `$id` is relative, or a reference uses it
    for fault in faults(validator, given):
        trail = places[int(fault.trail[0])][0]
        yield Problem(
            join_path(path, *trail, "default", *fault.trail[1:]),
            f"does not match the schema that it stands in: {fault.message}",
        )


def _escaped(key: str | int) -> str:
    return quote(str(key).replace("~", "~0").replace("/", "~1"), safe="~")
