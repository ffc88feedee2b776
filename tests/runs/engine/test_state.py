"""State: values under keys that runs share, changed exactly once, by one run at a time."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connection
from django.test import override_settings

from runs.maintenance import state as maintenance
from runs.models import State
from tests import flows
from tests.engine import deliver, drain
from workflows.publishing.publish import publish

pytestmark = pytest.mark.django_db(transaction=True)


def _one(action: str, config: dict[str, Any], *, name: str = "s", given: Any = None) -> Any:
    """The output of a run of one step, or its error."""
    lines = publish(
        {"name": name, "steps": [{"id": "a", "action": action, "with": config, "retry": "none"}]},
        workspace=flows.workspace(),
        owner=flows.owner(),
    )
    [run_id] = flows.begun(lines, given or {})
    drain()
    run = flows.the_run(run_id)
    return run.output if run.state == "succeeded" else run.error


def test_a_value_is_set_read_compared_and_deleted() -> None:
    none = {"found": False, "value": 7, "version": 0, "expires_at": None}
    assert _one("state_get", {"key": "k", "default": 7}) == none
    first = _one("state_set", {"key": "k", "value": {"a": [1, None]}, "if_version": 0})
    assert (first["stored"], first["previous"], first["expires_at"]) == (True, None, None)
    found = _one("state_get", {"key": "k"})
    assert found == {"found": True, "value": {"a": [1, None]}, "version": first["version"], "expires_at": None}
    late = _one("state_set", {"key": "k", "value": 1, "if_version": 0})
    assert (late["kind"], f"has version {first['version']}, which is not" in late["message"]) == ("conflict", True)
    told = _one("state_set", {"key": "k", "value": 1, "if_value": {"a": [1]}, "on_mismatch": "continue"})
    assert (told["stored"], told["value"], told["version"]) == (False, {"a": [1, None]}, first["version"])
    swapped = _one("state_set", {"key": "k", "value": True, "if_value": {"a": [1, None]}, "ttl": "1h"})
    assert swapped["version"] > first["version"]
    assert swapped["expires_at"] is not None
    assert _one("state_set", {"key": "k", "value": 0, "if_value": 1, "on_mismatch": "continue"})["stored"] is False
    # A value without a ttl stays for ever, also where the one before had one.
    assert _one("state_set", {"key": "k", "value": None, "if_version": swapped["version"]})["expires_at"] is None
    gone = _one("state_set", {"key": "k", "delete": True})
    assert gone == {"stored": True, "value": None, "version": 0, "expires_at": None, "previous": None}
    again = _one("state_set", {"key": "k", "value": 1})
    assert again["version"] > swapped["version"] + 1
    assert _one("state_set", {"key": "k2", "value": 1, "if_version": 5})["kind"] == "conflict"


def test_keys_belong_to_their_workflow_or_to_the_workspace() -> None:
    for name in ("one", "two"):
        assert _one("state_increment", {"key": "k"}, name=name)["value"] == 1
        assert _one("state_increment", {"key": "k", "scope": "workspace", "by": 10}, name=name)["value"] in (10, 20)
    assert sorted(State.objects.values_list("value", flat=True)) == [1, 1, 20]


def test_increments_are_exact_and_refuse_what_is_no_number() -> None:
    assert [_one("state_increment", {"key": "n", "by": 0.1})["value"] for _ in range(3)] == [0.1, 0.2, 0.3]
    assert _one("state_increment", {"key": "n", "by": "{{ input.by }}"}, given={"by": 1})["value"] == 1.3
    _one("state_set", {"key": "big", "value": 2**63 - 2})
    found = _one("state_increment", {"key": "big"})
    assert (found["value"], found["previous"]) == (2**63 - 1, 2**63 - 2)
    assert "beyond 64 bits" in _one("state_increment", {"key": "big"})["message"]
    _one("state_set", {"key": "text", "value": "x"})
    assert "has a text, not a number; set it to one first" in _one("state_increment", {"key": "text"})["message"]
    assert _one("state_increment", {"key": "n", "by": "{{ input.by }}"}, given={"by": True})["kind"] == "config"


def test_expired_values_are_not_seen_and_are_swept() -> None:
    _one("state_set", {"key": "old", "value": 5, "ttl": "1h"})
    kept = _one("state_increment", {"key": "count", "ttl": "1h"})
    assert _one("state_increment", {"key": "count", "ttl": "9h"})["expires_at"] == kept["expires_at"]
    with connection.cursor() as cursor:
        cursor.execute("UPDATE runs_state SET expires_at = clock_timestamp() - interval '1 second'")
    assert _one("state_get", {"key": "old", "default": "none"})["value"] == "none"
    assert _one("state_set", {"key": "old", "value": 6, "if_version": 0})["previous"] is None
    found = _one("state_increment", {"key": "count", "ttl": "1h"})
    assert (found["value"], found["expires_at"] > kept["expires_at"]) == (1, True)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE runs_state SET expires_at = clock_timestamp() - interval '1 second' WHERE key = 'count'")
    assert maintenance.forget_expired() == 1
    assert [*State.objects.values_list("key", flat=True)] == ["old"]


def test_keys_and_values_are_bounded() -> None:
    with override_settings(STATE_KEYS_PER_WORKSPACE=2):
        assert [_one("state_set", {"key": key, "value": 1})["stored"] for key in ("a", "b", "a")] == [True] * 3
        full = _one("state_set", {"key": "c", "value": 1})
        assert (full["kind"], "the workspace has 2 keys, which is the limit" in full["message"]) == ("full", True)
        assert _one("state_increment", {"key": "c"})["kind"] == "full"
        assert _one("state_set", {"key": "a", "delete": True})["stored"]
        assert _one("state_set", {"key": "c", "value": 1})["stored"]
    big = {"key": "big", "value": "{{ input.x * 65535 }}"}
    assert _one("state_set", {**big, "value": "{{ input.rows }}"}, given={"rows": ["x" * 70_000]})["kind"] == "size"
    for key in ("", "x" * 201):
        assert _one("state_get", {"key": "{{ input.key }}"}, given={"key": key})["kind"] == "config"


def test_an_attempt_that_fails_or_is_taken_back_changes_nothing() -> None:
    found = flows.published(
        """
        name: once
        steps:
          - {id: a, action: state_increment, with: {key: n}, for_each: {items: [1, 2, 3]}}
          - {id: b, action: state_increment, with: {key: n}}
        """
    )
    runs = flows.begun(found, *[{}] * 5)
    drain()
    assert {flows.the_run(run).state for run in runs} == {"succeeded"}
    assert State.objects.get().value == 20


def test_two_runs_that_take_two_keys_in_both_orders_do_not_wait_for_each_other() -> None:
    """A step locks one key, and gives it back with its record: no run holds one key and waits for another."""
    names = ("k1", "k2")
    runs = []
    for order in (names, names[::-1]):
        steps: list[Any] = [
            {"id": f"{key}_{n}", "action": "state_increment", "with": {"key": key, "scope": "workspace"}}
            for n in range(3)
            for key in order
        ]
        document: dict[str, Any] = {"name": "-".join(order), "steps": steps}
        runs += flows.begun(publish(document, workspace=flows.workspace(), owner=flows.owner()), *[{}] * 3)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(20):
                deliver()
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    drain()
    assert not failures
    assert {flows.the_run(run).state for run in runs} == {"succeeded"}
    assert sorted(State.objects.values_list("value", flat=True)) == [18, 18]
