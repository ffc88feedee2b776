"""What workflows share: names and values of variables, keys and values of state, labels; and routes of switches."""

from __future__ import annotations

from functools import partial
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from actions import registry
from actions.base import ActionError, Permanent
from runs.engine import state
from runs.engine.state import Place
from tests.hostile.case import Case
from workflows.definitions.errors import DefinitionError
from workflows.publishing.validate import validate
from workflows.workspaces import variables
from workflows.workspaces.variables import NotAVariable

KIND = "variables, state, labels and routes"
_DEEP: Any = 1
for _ in range(70):
    _DEEP = [_DEEP]
_NAMES = [
    *("", " ", "1a", "a-b", "a.b", "a b", "a\n", "a\x00", "a" * 65, "a" * 1_000_000, "\u00e9", "\uff41", "a[0]", "*"),
    *("../x", "a/b", "%2e", "{{ x }}", "a'; DROP TABLE runs_run; --", "a\u202e", "\u0430"),
]
_VALUES: list[tuple[str, Any]] = [
    ("null", None),
    ("a number beyond 64 bits", 2**64),
    ("NaN", float("nan")),
    ("a NUL", "a\x00b"),
    ("a lone surrogate", "\ud800"),
    ("a text of 9 MB", "x" * 9_000_000),
    ("a list of a million", [0] * 1_000_000),
    ("a list 70 deep", _DEEP),
    ("an object of 100,000 keys", {f"k{n}": n for n in range(100_000)}),
    ("a set", {1, 2}),
]
_CONFIGS: list[tuple[str, dict[str, Any]]] = [
    ("state_get", {"key": ""}),
    ("state_get", {"key": "x" * 201}),
    ("state_get", {"key": ["a"]}),
    ("state_get", {"key": None}),
    ("state_get", {"key": "k", "scope": "installation"}),
    ("state_set", {"key": "k"}),
    ("state_set", {"key": "k", "value": 1, "delete": True}),
    ("state_set", {"key": "k", "value": 1, "ttl": -1}),
    ("state_set", {"key": "k", "value": 1, "ttl": "1e99s"}),
    ("state_set", {"key": "k", "value": 1, "ttl": float("inf")}),
    ("state_set", {"key": "k", "value": 1, "if_version": -1}),
    ("state_set", {"key": "k", "value": 1, "if_version": "1"}),
    ("state_set", {"key": "k", "value": 1, "if_version": 1, "if_value": 1}),
    ("state_set", {"key": "k", "value": 1, "workspace": "other"}),
    ("state_increment", {"key": "k", "by": float("nan")}),
    ("state_increment", {"key": "k", "by": float("inf")}),
    ("state_increment", {"key": "k", "by": True}),
    ("state_increment", {"key": "k", "by": "1; DROP TABLE runs_state"}),
    ("state_increment", {"key": "k", "ttl": 0}),
    ("set_labels", {}),
    ("set_labels", {"labels": {"a": "x" * 256}}),
    ("set_labels", {"labels": {"x" * 101: "a"}}),
    ("set_labels", {"labels": {"": "a"}}),
    ("set_labels", {"labels": {f"k{n}": "" for n in range(1001)}}),
    ("set_labels", {"labels": {"a": None}}),
    ("set_labels", {"labels": {"a": {"b": 1}}}),
    ("set_labels", {"labels": {"a": "b"}, "remove": ["a"]}),
    ("switch", {"routes": [{"when": "true", "goto": "a"}] * 101}),
    ("switch", {"routes": [{"when": "true", "goto": "x" * 201}]}),
    ("switch", {"routes": [{"when": "true", "is": 1, "goto": "a"}], "value": 1}),
    ("switch", {"routes": {"a": "true"}}),
]
_ROUTES: list[tuple[str, Any]] = [
    ("to itself", [{"when": "true", "goto": "s"}]),
    ("to nowhere", [{"when": "true", "goto": "nowhere"}]),
    ("with a quote in its target", [{"when": "true", "goto": "x' or '1' == '1"}]),
    ("with an expression as its target", [{"when": "true", "goto": "{{ input.goto }}"}]),
    ("with a statement", [{"when": "{% for x in y %}", "goto": "x"}]),
    (
        "with an attribute of Python",
        [{"when": "input.__class__.__mro__", "goto": "x"}, {"when": "input()", "goto": "y"}],
    ),
    ("with a long expression", [{"when": "input.a" + " + 1" * 9_000, "goto": "x"}]),
    ("that is no mapping", [["x"]]),
    ("back to the step before it", [{"when": "true", "goto": "first"}]),
]


def _no_variable(name: str, value: Any) -> str | None:
    try:
        variables.check(name, value)
    except NotAVariable as error:
        return None if len(str(error)) < 1_000 else "was refused with a message of the value"
    return "was accepted"


def _no_state(value: Any) -> str | None:
    try:
        state._written(Place(UUID(int=0), "k" * 200, True), value)
    except (Permanent, TypeError, ValueError) as error:
        return None if len(str(error)) < 1_000 else "was refused with a message of the value"
    return "was accepted"


def _no_config(name: str, config: dict[str, Any]) -> str | None:
    try:
        registry.get(name).config_class.model_validate(config)
    except (ValidationError, ActionError):
        return None
    return "was accepted"


def _no_definition(routes: Any) -> str | None:
    switch: Any = {"id": "s", "action": "switch", "needs": ["first"], "with": {"routes": routes}}
    others: list[Any] = [{"id": name, "action": "default"} for name in ("x", "y")]
    try:
        validate({"name": "n", "steps": [{"id": "first", "action": "default", "needs": []}, switch, *others]})
    except DefinitionError as error:
        return None if len(str(error)) < 20_000 else "was refused with a long message"
    return "was published"


CASES = [
    *(Case(f"a variable named {name[:40]!r}, of {len(name)}", KIND, partial(_no_variable, name, 1)) for name in _NAMES),
    *(Case(f"a variable of {what}", KIND, partial(_no_variable, "a", value)) for what, value in _VALUES),
    *(
        Case(f"state of {what}", KIND, partial(_no_state, value))
        for what, value in _VALUES
        if "text of" in what or "million" in what or "keys" in what
    ),
    *(
        Case(f"{name} with config {number}", KIND, partial(_no_config, name, config))
        for number, (name, config) in enumerate(_CONFIGS)
    ),
    *(Case(f"a route {what}", KIND, partial(_no_definition, routes)) for what, routes in _ROUTES),
]
