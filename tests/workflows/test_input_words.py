"""`inputs` that would check nothing are refused or warned of, with the right form."""

from __future__ import annotations

import time
from typing import Any

import pytest

from actions.base import Json
from tests.workflows.definitions import faults, warnings_of
from workflows.definitions.schema import schema_problems

WRITE = "has no word of JSON Schema, so it would check nothing; write "
EMAIL = "{type: string, format: email}"


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ({"email": "string"}, {"inputs": f"{WRITE}{{type: object, properties: {{email: {{type: string}}}}}}"}),
        (
            {"email": {"type": "email", "required": True}, "age": "int?"},
            {
                "inputs": f"{WRITE}{{type: object, properties: {{email: {EMAIL}, age: {{type: integer}}}}, "
                "required: [email]}"
            },
        ),
        ({"tags": "string[]"}, {"inputs": "tags: {type: array, items: {type: string}}"}),
        ({"a": 1, "b": True, "c": "x", "d": []}, {"inputs": "c: {type: string}}}, and so on"}),
        ({"two words": None}, {"inputs": '{type: object, properties: {"two words": {}}}'}),
        ({"title": "string", "description": "text"}, {"inputs": "only words that check nothing"}),
        ({"type": "object", "properties": {"to": {"name": "str"}}}, {"inputs.properties.to": WRITE}),
        ({"items": {"sku": "string"}}, {"inputs.items": WRITE}),
        ({"anyOf": [{"type": "null"}, {"sku": "string"}]}, {"inputs.anyOf[1]": WRITE}),
        ({"$defs": {"a": {"sku": "string"}}, "$ref": "#/$defs/a"}, {"inputs.$defs.a": WRITE}),
        ({"properties": {"n": {"minlength": 3}}}, {"inputs.properties.n": "did you mean 'minLength'?"}),
    ],
)
def test_a_schema_without_any_word_of_json_schema_is_refused(inputs: Any, expected: dict[str, str]) -> None:
    found = faults({"name": "a", "inputs": inputs, "steps": [{"action": "default"}]})
    assert found.keys() == expected.keys()
    assert all(message in found[path] for path, message in expected.items()), found


@pytest.mark.parametrize(
    ("inputs", "path", "message"),
    [
        ({"properties": {"email": "email"}}, "inputs.properties.email", f"not 'email'; write {EMAIL}"),
        ({"properties": {"n": 3}}, "inputs.properties.n", "must be a schema, not 3; write {type: integer}"),
        ({"properties": ["email"]}, "inputs.properties", "must be a mapping of names to schemas"),
        ({"type": "int"}, "inputs.type", "'int'; write integer"),
        ({"type": ["str", "null"]}, "inputs.type", "'str'; write string"),
        ({"type": "date-time"}, "inputs.type", "write type: string, format: date-time"),
        ({"type": "any"}, "inputs.type", "leave `type` out"),
        ({"type": "wizard"}, "inputs.type", "known are array, boolean"),
        ({"required": "email"}, "inputs.required", "write [email]"),
        ({"properties": {"a": {"type": "string", "required": True}}}, "inputs.properties.a.required", "required: [a]"),
    ],
)
def test_the_usual_slips_are_answered_with_the_right_form(inputs: Any, path: str, message: str) -> None:
    [problem] = schema_problems(inputs, path="inputs")
    assert problem.path == path
    assert message in problem.message


@pytest.mark.parametrize(
    ("inputs", "warning"),
    [
        ({"type": "object", "email": {"type": "string"}}, "inputs.email is no word of JSON Schema and checks nothing"),
        ({"type": "object", "require": ["a"]}, "did you mean 'required'?"),
        ({"type": "object", "max_properties": 3}, "did you mean 'maxProperties'?"),
        ({"properties": {"a": {"type": "string", "nullable": True}}}, "write type: [string, 'null']"),
        ({"properties": {"a": {"type": "integer", "maxLength": 3}}}, "limits only values of the type string"),
        ({"properties": {"a": {"format": "url"}}}, "did you mean 'uri'?"),
        ({"properties": {"a": {"format": "phone"}}}, "a `pattern` checks anything else"),
        ({"default": {"a": 1}}, "inputs.default is never filled in"),
        ({"anyOf": [{"properties": {"a": {"default": 1}}}]}, "inputs.anyOf[0].properties.a.default is never filled in"),
    ],
)
def test_a_single_word_without_effect_gets_a_warning(inputs: Any, warning: str) -> None:
    [found] = warnings_of({"name": "a", "inputs": inputs, "steps": [{"action": "default"}]})
    assert warning in found


@pytest.mark.parametrize(
    "inputs",
    [
        {},
        {"x-form": {"order": ["a"]}},
        {"type": "object", "properties": {"a": {"x-widget": "area"}}},
        {"title": "An order", "description": "text"},
        {"properties": {"note": {"description": "text"}, "default": {"type": "string"}, "type": {"enum": ["a"]}}},
        {"type": "number", "minimum": 0, "multipleOf": 2},
        {"type": ["integer", "null"], "minimum": 0},
        {"properties": {"at": {"type": "string", "format": "date-time", "examples": ["2024-01-31T00:00:00Z"]}}},
        {"$schema": "http://json-schema.org/draft-07/schema#", "definitions": {"a": True}, "$ref": "#/definitions/a"},
    ],
)
def test_what_has_an_effect_or_is_meant_for_others_passes_in_silence(inputs: Any) -> None:
    document = {"name": "a", "inputs": inputs, "steps": [{"action": "default"}]}
    assert faults(document) == {}
    assert warnings_of(document) == ()


def test_warnings_of_a_large_schema_are_bounded() -> None:
    inputs: dict[str, Json] = {"type": "object", **{f"field{n}": 1 for n in range(4000)}}
    assert len(warnings_of({"name": "a", "inputs": inputs, "steps": [{"action": "default"}]})) == 20


def test_a_schema_of_very_many_unknown_words_is_answered_quickly() -> None:
    begin = time.thread_time()
    [problem] = schema_problems({f"field{n}": n for n in range(50_000)}, path="inputs")
    assert "would check nothing" in problem.message
    assert time.thread_time() - begin < 1
