"""Defaults of `inputs` are filled in before an input is checked."""

from __future__ import annotations

import copy
from typing import Any
from uuid import uuid4

import pytest

from actions.base import Json
from workflows.definitions import schema_defaults
from workflows.definitions.errors import InvalidInput
from workflows.definitions.schema import schema_problems
from workflows.models import Version
from workflows.publishing.inputs import check_input

ADDRESS = {"type": "object", "properties": {"country": {"default": "DE"}}}


def filled(schema: dict[str, Any], value: Json) -> Json:
    """The input that a run gets; the value that is given stays as it is."""
    before = copy.deepcopy(value)
    found = check_input(Version(id=uuid4(), definition={"inputs": schema}), value)
    assert value == before
    return found


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        ({"properties": {"size": {"default": 5}}}, {}, {"size": 5}),
        ({"properties": {"size": {"default": 5}}}, {"size": None}, {"size": None}),
        ({"properties": {"size": {"default": 5}}}, {"size": 7, "more": 1}, {"size": 7, "more": 1}),
        ({"properties": {"size": {"default": None}}}, {}, {"size": None}),
        ({"properties": {"size": {"default": 5}}}, [], []),
        ({"properties": {"size": {"type": "integer", "default": 5}}, "required": ["size"]}, {}, {"size": 5}),
        ({"properties": {"to": ADDRESS}}, {}, {}),
        ({"properties": {"to": ADDRESS}}, {"to": {}}, {"to": {"country": "DE"}}),
        ({"properties": {"to": {**ADDRESS, "default": {}}}}, {}, {"to": {"country": "DE"}}),
        ({"properties": {"l": {"items": ADDRESS}}}, {"l": [{}]}, {"l": [{"country": "DE"}]}),
        ({"prefixItems": [True, ADDRESS]}, [{}, {}, {}], [{}, {"country": "DE"}, {}]),
        ({"allOf": [ADDRESS, {"properties": {"zip": {"default": "1"}}}]}, {}, {"country": "DE", "zip": "1"}),
        ({"$defs": {"a": ADDRESS}, "properties": {"to": {"$ref": "#/$defs/a"}}}, {"to": {}}, {"to": {"country": "DE"}}),
        ({"$defs": {"n": {"default": 3}}, "properties": {"n": {"$ref": "#/$defs/n"}}}, {}, {"n": 3}),
        ({"$defs": {"n": {"$anchor": "n", "default": 3}}, "properties": {"n": {"$ref": "#n"}}}, {}, {"n": 3}),
        ({"anyOf": [ADDRESS, {"type": "null"}]}, {}, {}),
        ({"oneOf": [ADDRESS]}, {}, {}),
        ({"if": ADDRESS, "then": ADDRESS}, {}, {}),
        ({"patternProperties": {"a": ADDRESS}}, {"a": {}}, {"a": {}}),
    ],
)
def test_absent_properties_of_objects_that_are_there_get_their_default(
    schema: dict[str, Any], value: Json, expected: Json
) -> None:
    assert filled(schema, value) == expected


def test_a_default_that_refers_to_its_own_schema_ends() -> None:
    schema = {"properties": {"child": {"$ref": "#", "default": {}}, "n": {"default": 1}}}
    assert filled(schema, {}) == {"n": 1, "child": {"n": 1, "child": {}}}


@pytest.mark.parametrize(
    ("schema", "path", "said"),
    [
        ({"properties": {"n": {"type": "integer", "default": "5"}}}, "inputs.properties.n.default", '"integer"'),
        ({"properties": {"n": {"enum": ["a"], "default": "b"}}}, "inputs.properties.n.default", "does not match"),
        (
            {"properties": {"a/b~c %": {"items": {"minimum": 3}, "default": [9, 1]}}},
            "inputs.properties.a/b~c %.default[1]",
            "minimum",
        ),
        (
            {"$defs": {"a": {"maxLength": 1}}, "properties": {"n": {"$ref": "#/$defs/a", "default": "xx"}}},
            "inputs.properties.n.default",
            "longer than 1 character",
        ),
    ],
)
def test_a_default_that_its_own_schema_refuses_is_refused_at_publishing(
    schema: dict[str, Any], path: str, said: str
) -> None:
    [problem] = schema_problems(schema, path="inputs")
    assert problem.path == path
    assert said in problem.message


def test_a_stored_schema_whose_default_does_not_match_goes_on_accepting_what_it_accepted() -> None:
    schema = {"properties": {"n": {"type": "integer", "default": "5"}}, "required": ["m"]}
    assert filled(schema, {"m": 1}) == {"m": 1}
    with pytest.raises(InvalidInput, match='"m" is a required property'):
        filled(schema, {})


def test_what_defaults_add_and_what_they_take_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    large = {"items": {"properties": {"text": {"default": "x" * 10_000}}}}
    with pytest.raises(InvalidInput, match="would get more than 1,000,000 bytes of defaults; send fewer objects"):
        filled(large, [{} for _ in range(101)])
    assert filled(large, [{"text": ""} for _ in range(10_000)]) == [{"text": ""} for _ in range(10_000)]
    monkeypatch.setattr(schema_defaults, "MAX_LOOKS", 1000)
    with pytest.raises(InvalidInput, match="too many values to fill in the defaults"):
        filled(large, [{"text": ""} for _ in range(1000)])


def test_a_schema_whose_references_are_too_many_to_follow_for_defaults_is_refused() -> None:
    chain: dict[str, Any] = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}]} for n in range(900)}
    properties: dict[str, Any] = {f"p{n}": {"$ref": "#/$defs/d0", "default": n} for n in range(900)}
    [problem] = schema_problems({"$defs": {**chain, "d900": True}, "properties": properties}, path="inputs")
    assert "too many schemas to fill in a `default`" in problem.message
