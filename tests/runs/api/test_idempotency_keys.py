"""Idempotency keys: in the header or in the body, and known with another input."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runs.models import Run, Signal
from tests.engine import drain
from tests.flows import begun, published
from tests.runs.doors import api, first_error, posted
from workflows.models import Workflow

pytestmark = pytest.mark.django_db(transaction=True)

PLAIN = "name: keyed\nsteps:\n  - {id: pick, action: transform, with: {set: {n: 1}}}\n"
WAITING = "name: waiting\nsteps:\n  - {id: a, action: wait_for_signal, with: {name: go, key: k}}\n"
SHORT = {"name": "short", "steps": [{"type": "compute", "payload": {"iterations": 1}}]}
START = "workflows/keyed/runs"


def send(path: str, body: Any, *, key: str | None = None, kind: str = "application/json") -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {api().token}"} | ({} if key is None else {"Idempotency-Key": key})
    answer = posted(f"/api/v1/{path}", body, content_type=kind, headers=headers)
    return answer.status, json.loads(answer.content)


@pytest.fixture(params=["start", "job", "short form", "replay", "signal", "signal by key"])
def door(request: pytest.FixtureRequest) -> tuple[str, Any, Any]:
    """An address that takes a key, and two bodies for it that differ in their input."""
    name = request.param
    if name == "start":
        published(PLAIN)
        return START, {"input": {"n": 1}}, {"input": {"n": 2}}
    if name == "job":
        return "jobs", {"type": "noop", "payload": {"n": 1}}, {"type": "noop", "payload": {"n": 2}}
    if name == "short form":
        other = {**SHORT, "steps": [{"type": "compute", "payload": {"iterations": 2}}]}
        return "workflows", SHORT, other
    if name == "replay":
        [run_id] = begun(published(PLAIN), {"n": 0})
        drain()
        return f"runs/{run_id}/replay", {}, {"input": {"n": 2}}
    [run_id] = begun(published(WAITING))
    drain()
    body = {"name": "go", "payload": 1}
    if name == "signal":
        return f"runs/{run_id}/signals", body, {**body, "payload": {"n": 2}}
    return "signals", {**body, "key": "k"}, {**body, "key": "k", "payload": None}


def test_the_header_is_the_key_of_a_request(door: tuple[str, Any, Any]) -> None:
    path, body, other = door
    status, first = send(path, body, key="order-7")
    assert status == 201
    before = Run.objects.count(), Signal.objects.count()
    again, second = send(path, body, key="order-7")
    assert again == 200
    assert _id(second) == _id(first)
    # As a structured field (RFC 9651), it is quoted.
    assert send(path, body, key='"order-7"')[0] == 200
    status, problem = send(path, other, key="order-7")
    assert (status, problem["title"]) == (409, "Conflict")
    assert problem["first_hash"] != problem["given_hash"]
    assert problem["first_hash"].startswith("sha256:")
    assert problem["first_hash"] in problem["detail"]
    assert problem["given_hash"] in problem["detail"]
    assert problem.get("run", problem.get("signal")) == _id(first)
    assert (Run.objects.count(), Signal.objects.count()) == before
    if path != "workflows":
        status, third = send(path, {**other, "on_conflict": "return"}, key="order-7")
        assert (status, _id(third)) == (200, _id(first))
        assert (Run.objects.count(), Signal.objects.count()) == before


def test_a_key_in_the_body_that_is_another_one_is_refused(door: tuple[str, Any, Any]) -> None:
    path, body, _ = door
    if path == "workflows":
        return  # a definition has no key
    before = Run.objects.count(), Signal.objects.count()
    status, problem = send(path, {**body, "idempotency_key": "a"}, key="b")
    assert (status, first_error(problem)[0]) == (400, "idempotency_key")
    assert (Run.objects.count(), Signal.objects.count()) == before
    assert send(path, {**body, "idempotency_key": "a"}, key="a")[0] == 201
    assert send(path, {**body, "idempotency_key": "a"})[0] == 200


@pytest.mark.parametrize("key", ["", '""', "x" * 256, "a\tb", "schlüssel", "a\x00b"])
def test_a_header_that_is_no_key_is_refused(key: str) -> None:
    published(PLAIN)
    for path, body in ((START, {}), ("jobs", {"type": "noop"}), ("signals", {"name": "go", "key": "k"})):
        status, problem = send(path, body, key=key)
        assert (status, first_error(problem)[0]) == (400, "Idempotency-Key")
    assert not Run.objects.exists()


@pytest.mark.parametrize(
    ("first", "again", "same"),
    [
        ('{"a": 1, "b": [1, 2]}', '{ "b" : [1,2], "a": 1.0 }', True),
        ("{}", None, True),
        ('{"a": 1}', '{"a": "1"}', False),
        ('{"a": [1, 2]}', '{"a": [2, 1]}', False),
        ('{"a": null}', "{}", False),
        ("null", "{}", False),
    ],
)
def test_inputs_are_compared_as_values_and_after_their_default(first: str, again: str | None, same: bool) -> None:
    published(PLAIN)
    bodies = [f'{{"idempotency_key": "k", "input": {given}}}' for given in (first, again)]
    if again is None:
        bodies[1] = '{"idempotency_key": "k"}'
    assert send(START, bodies[0])[0] == 201
    assert send(START, bodies[1])[0] == (200 if same else 409)
    # With a charset it is answered by the view, else in front of Django.
    assert send(START, bodies[1], kind="application/json; charset=utf-8")[0] == (200 if same else 409)
    assert Run.objects.count() == 1


def test_a_start_of_the_short_form_that_is_known_tells_how_far_it_is() -> None:
    _, first = send("workflows", SHORT, key="k")
    assert (first["status"], first["current_step"], first["completed_at"]) == ("pending", 0, None)
    drain()
    status, again = send("workflows", SHORT, key="k")
    assert (status, again["id"], again["status"]) == (200, first["id"], "completed")
    assert (again["current_step"], again["total_steps"]) == (1, 1)
    assert again["completed_at"] == _shown(f"workflows/{first['id']}")["completed_at"]


def test_labels_and_priority_are_no_input() -> None:
    published(PLAIN)
    assert send(START, {"labels": {"a": "b"}}, key="k")[0] == 201
    assert send(START, {"priority": 3}, key="k")[0] == 200


def test_a_job_of_another_type_under_a_known_key_is_refused() -> None:
    body = {"payload": {}, "idempotency_key": "k"}
    _, first = send("jobs", {"type": "noop", **body})
    status, problem = send("jobs", {"type": "notify", **body})
    assert status == 409
    assert "is a default, this request a notify" in problem["detail"]
    # Another number of retries is no other input; an alias is the same action.
    assert send("jobs", {"type": "default", "max_retries": 5, **body})[0] == 200
    status, again = send("jobs", {"type": "notify", "on_conflict": "return", **body})
    assert (status, again["id"]) == (200, first["id"])


def test_a_signal_of_another_name_under_a_known_key_is_refused() -> None:
    [run_id] = begun(published(WAITING))
    drain()
    path = f"runs/{run_id}/signals"
    assert send(path, {"name": "go"}, key="k")[0] == 201
    assert send(path, {"name": "stop"}, key="k")[0] == 409


def test_a_key_stays_with_the_workflow_whatever_its_name_is() -> None:
    found = published(PLAIN)
    _, first = send(START, {"input": {"n": 1}}, key="k")
    Workflow.objects.filter(pk=found.workflow.pk).update(name="renamed")
    status, again = send("workflows/renamed/runs", {"input": {"n": 1}}, key="k")
    assert (status, again["id"]) == (200, first["id"])
    published(PLAIN)
    status, other = send(START, {"input": {"n": 2}}, key="k")
    assert status == 201
    assert other["id"] != first["id"]


def test_in_bulk_the_header_names_the_request_and_each_line_has_its_number() -> None:
    published(PLAIN)
    lines = ['{"input": 1}', "", '{"input": 2, "idempotency_key": "own"}', '{"input": 3}']
    path, kind = f"{START}/bulk?ids=true", "application/x-ndjson"
    status, told = send(path, "\n".join(lines), key="monday", kind=kind)
    assert (status, told["created"]) == (201, 3)
    assert [*Run.objects.order_by("id").values_list("idempotency_key", flat=True)] == ["monday:1", "own", "monday:4"]
    status, again = send(path, "\n".join(lines), key="monday", kind=kind)
    assert (status, again["created"], again["known"]) == (200, 0, 3)
    assert again["ids"] == told["ids"]
    lines[3] = '{"input": "other"}'
    lines += ['{"input": 5}', '{"input": "other", "idempotency_key": "own", "on_conflict": "return"}']
    status, told = send(path, "\n".join(lines), key="monday", kind=kind)
    assert (status, told["created"], told["known"], told["refused"]) == (201, 1, 3, 1)
    [refusal] = told["refusals"]
    assert (refusal["line"], refusal["path"]) == (4, "idempotency_key")
    assert refusal["message"].count("sha256:") == 2
    assert send(path, "\n".join(lines), key="x" * 241, kind=kind)[0] == 400


def test_two_lines_with_one_key_and_different_inputs_are_a_conflict() -> None:
    published(PLAIN)
    body = [{"input": n, "idempotency_key": "k"} for n in (1, 1.0, 2)]
    status, told = send(f"{START}/bulk", body)
    assert (status, told["created"], told["known"], told["refused"]) == (201, 1, 1, 1)


def test_a_program_inside_returns_the_first_run_whatever_its_input_was() -> None:
    found = published(PLAIN)
    [first] = begun(found, {"n": 1}, idempotency_key="k")
    assert begun(found, {"n": 2}, idempotency_key="k") == [first]


def _shown(path: str) -> Any:
    return api().get(path)[1]


def _id(answer: Any) -> str:
    found = answer["signals"][0]["id"] if "signals" in answer else answer["id"]
    return str(found)
