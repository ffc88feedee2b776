"""Check a run's input against the `inputs` schema of its version, with the schema's defaults filled in.

What is cheap, by far the most, is checked in place. What may take long is checked by a helper process.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import jsonschema_rs
import orjson

from actions.base import Json
from workflows.definitions import json_schema
from workflows.definitions.errors import InputNotChecked, InvalidInput, Problem
from workflows.definitions.schema import input_problems
from workflows.definitions.schema_cost import Cost, cost_of
from workflows.definitions.schema_defaults import Defaults, TooMuch, defaults_of
from workflows.models import Version
from workflows.publishing.schema_helper import SECONDS, HelperBusy, TooDear, helper

# Comparisons, and steps of patterns, that are made in place for one input: up to about 0.3 s, usually a tenth of that.
MAX_IN_PLACE = 10_000_000
# Faults are described in place if there cannot be more of them, or more text in them. One fault takes about 45 us, and
# holds a copy of the value three times.
_MAX_FAULTS_IN_PLACE = 10_000
_MAX_FAULT_BYTES_IN_PLACE = 1_000_000
# About the memory that compiled schemas may take.
_MAX_KEPT_BYTES = 200_000_000


@dataclass(frozen=True)
class _Judged:
    """A version's schema, its cost, its validator, None if it is too dear, and the defaults that it fills in."""

    schema: dict[str, Any]
    cost: Cost
    validator: jsonschema_rs.Validator | None
    defaults: Defaults | None


_kept: dict[UUID, _Judged] = {}


def check_input(version: Version, value: Json) -> Json:
    """Return this value with the defaults of the version's `inputs` schema. The value itself is not changed.

    Raises InvalidInput if it does not match the schema, or would take too long to check, and InputNotChecked if only
    the helper process may check it, and has too much to do.
    """
    inputs = version.definition.get("inputs")
    if inputs is None:
        return value
    judged = _kept.get(version.id) or _judge(version.id, inputs)
    if judged.defaults is None:
        _check(judged, value)
        return value
    try:
        filled = judged.defaults.fill(value)
    except TooMuch as error:
        raise InvalidInput([Problem("input", str(error))]) from None
    try:
        _check(judged, filled)
    except InputNotChecked:
        raise
    except InvalidInput:
        if filled is not value and _matches(judged, value):
            return value  # it is the defaults that do not match; such a schema may have been published before
        raise
    return filled


def _matches(judged: _Judged, value: Json) -> bool:
    try:
        _check(judged, value)
    except InputNotChecked:
        raise
    except InvalidInput:
        return False
    return True


def _check(judged: _Judged, value: Json) -> None:
    if judged.validator is None:
        raise InvalidInput([Problem("input", f"cannot be checked: `inputs` of this version {judged.cost.fault}")])
    text = orjson.dumps(value)
    values = 1 + sum(map(text.count, (b",", b"[", b"{", b":")))
    comparisons = judged.cost.comparisons * values
    if not judged.cost.is_followed or comparisons + judged.cost.scans * len(text) > MAX_IN_PLACE:
        _check_apart(judged, text)
        return
    if judged.validator.is_valid(value):
        return
    if comparisons <= _MAX_FAULTS_IN_PLACE and judged.cost.comparisons * len(text) <= _MAX_FAULT_BYTES_IN_PLACE:
        raise InvalidInput(input_problems(json_schema.faults(judged.validator, value), path="input"))
    _check_apart(judged, text)


def _check_apart(judged: _Judged, text: bytes) -> None:
    try:
        faults = helper.faults(orjson.dumps(judged.schema), text)
    except HelperBusy:
        message = (
            "takes long to check against `inputs`, and other such inputs are checked just now: one at a time, for "
            f"at most {SECONDS:g} s each; try again in a moment"
        )
        raise InputNotChecked([Problem("input", message)]) from None
    except TooDear:
        message = f"takes more than {SECONDS:g} s or 1 GB to check against `inputs`; send less, or simplify the schema"
        raise InvalidInput([Problem("input", message)]) from None
    if faults is None:
        raise InvalidInput([Problem("input", "does not match `inputs`, with too many faults to list them")])
    if faults:
        raise InvalidInput(input_problems(faults, path="input"))


def _judge(version_id: UUID, inputs: dict[str, Any]) -> _Judged:
    """Judge and compile a schema, and keep the result: it never gets stale, as versions never change."""
    cost = cost_of(inputs)
    validator = None if cost.fault else json_schema.compile_schema(inputs)
    defaults = None
    with suppress(TooMuch):  # published before defaults were filled in
        defaults = None if cost.fault else defaults_of(inputs)
    if sum(each.cost.memory for each in [*_kept.values()]) + cost.memory > _MAX_KEPT_BYTES or len(_kept) >= 1000:
        _kept.clear()
    judged = _kept[version_id] = _Judged(inputs, cost, validator, defaults)
    return judged
