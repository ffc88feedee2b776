"""No value of a config gives an exception that is none of the contract's, in any action."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from actions import network, registry
from actions.base import ActionError, Park, Woken
from tests.actions.contexts import NOW, context

HOSTILE: list[Any] = [
    *(None, True, 0, -1, 2**63 - 1, -(2**63), 0.5, -0.0, 1e308, 5e-324),
    *("", " ", "x" * 100_000, "\u0001", "\ufffd", "\U0010ffff", "{{", "%", "é", "1e400", "٣", "-1s", "1" * 300 + "d"),
    *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "9999-12-31", "2026-12-01T09:00 UTC", "0000-00-00"),
    *(
        "http://",
        "http://[",
        "http://[::1",
        "http://x:0/",
        "http://\u2603.example/",
        "http://" + "a." * 200,
        "http://%/",
    ),
    *("http://1.1.1.256/", "http://xn--a/", "//x", "http://x/\n", "http://ａ．example/"),
    *([], {}, [None], [[]], {"": None}, {"a": {}}, {"\u2603": "\u2603"}, ["a"] * 200, [0.5, True, "x"]),
]


@pytest.fixture(autouse=True)
def _nobody_is_reached(hidden_server: object) -> None:
    """The guard permits no address here."""


@pytest.mark.parametrize("name", registry.names())
def test_hostile_values_are_refused_or_performed(name: str) -> None:
    action = registry.get(name)
    needed: dict[str, dict[str, Any]] = {
        "http_request": {"url": "http://127.0.0.1:1/"},
        "approval": {"message": "m"},
        "transform": {"set": {}},
        "wait_for_signal": {"name": "n"},
        "sub_workflow": {"workflow": "w"},
        "notify": {"channel": "c"},
        "email": {"credential": "c", "from": "a@a.test", "to": "a@a.test", "subject": "s", "text": "t"},
        "webhook": {"url": "http://127.0.0.1:1/", "type": "t", "secret": "whsec_" + "A" * 32},
        "aggregate": {"fields": {"n": {"op": "count"}}, "items": [{"a": 1}, 2]},
        "dedupe": {"items": [{"a": 1}, 2]},
        "filter": {"where": "a", "items": [{"a": 1}, 2]},
        "merge": {"mode": "by_key", "by": "a", "lists": [[{"a": 1}], [{"a": 1}]]},
        "sort": {"items": [{"a": 1}, 2]},
        "split": {"path": "a", "items": [{"a": [1]}, 2]},
        "switch": {"routes": [{"when": "a", "goto": "b"}]},
    }
    fields = [field.alias or key for key, field in action.config_class.model_fields.items()]
    for field in fields:
        for value in HOSTILE:
            config = {**needed.get(name, {}), field: value}
            try:
                list(action.faults(config))
                fitted = action.config_class.model_validate(config)
                if name in ("compute", "sleep") or action.transactional:
                    continue  # they take the time that they are given, or need a transaction
                found = action.perform(fitted, context({"a": 1}, timeout_seconds=0.5))
                if isinstance(found, Park):
                    action.woken(fitted, Woken(step="a", at=NOW, output=found.output))
            except (ValidationError, ActionError):
                pass


def test_guard_is_up() -> None:
    with pytest.raises(ActionError, match="refused"):
        network.request(network.Call("GET", "http://127.0.0.1:1/"), timeout_seconds=1)
