"""A computed value that is null or empty is not taken as "left out"; `{{ omit }}` leaves a field out on purpose."""

from __future__ import annotations

from typing import Any

import pytest

from actions.base import Json
from tests.engine import drain
from tests.flows import begun, of_earlier_release, owner, states, steps, workspace
from tests.workflows.definitions import document, faults, step
from workflows.publishing.publish import publish

pytestmark = pytest.mark.django_db(transaction=True)


def performed(action: str, config: Any, given: Json) -> Any:
    """The row of a step with this config, in a run with this input."""
    given_steps: list[Json] = [{"id": "a", "action": action, "with": config, "retry": "none"}]
    flow = publish({"name": "n", "steps": given_steps}, workspace=workspace(), owner=owner())
    [run_id] = begun(flow, given)
    drain()
    return steps(run_id)["a"]


@pytest.mark.parametrize("value", [None, [], "", {}])
@pytest.mark.parametrize(
    ("action", "config", "path"),
    [
        ("approval", {"message": "m", "approvers": "{{ input.x }}"}, "with.approvers"),
        ("approval", {"message": "m", "timeout": "{{ input.x }}"}, "with.timeout"),
        ("approval", {"message": "m", "until": "{{ input.x }}"}, "with.until"),
        ("wait_for_signal", {"name": "n", "key": "{{ input.x }}"}, "with.key"),
        ("wait_for_signal", {"name": "n", "timeout": "{{ input.x }}"}, "with.timeout"),
        ("wait", {"for": "{{ input.x }}"}, "with.for"),
        ("sub_workflow", {"workflow": "w", "version": "{{ input.x }}"}, "with.version"),
        ("sub_workflow", {"workflow": "w", "labels": "{{ input.x }}"}, "with.labels"),
        ("sub_workflow", {"workflow": "w", "labels": {"of": "{{ input.x }}"}}, "with.labels.of"),
        ("http_request", {"url": "http://x.example/", "headers": "{{ input.x }}"}, "with.headers"),
        ("http_request", {"url": "http://x.example/", "headers": {"X": "{{ input.x }}"}}, "with.headers.X"),
        ("http_request", {"url": "http://x.example/", "query": "{{ input.x }}"}, "with.query"),
        ("http_request", {"url": "http://x.example/", "timeout": "{{ input.x }}"}, "with.timeout"),
        ("http_request", {"url": "{{ input.x }}"}, "with.url"),
    ],
)
def test_computed_null_or_empty_value_fails_with_its_path(action: str, config: Any, path: str, value: Any) -> None:
    row = performed(action, config, {"x": value})
    assert row.state == "failed"
    assert (row.error["kind"], row.error["details"]) == ("config", {"path": path})
    assert f"{path} comes to " in row.error["message"]
    assert "{{ omit }}" in row.error["message"]


@pytest.mark.parametrize(
    ("action", "config", "path"),
    [
        ("http_request", {"url": "http://x.example/", "query": {"owner": "{{ input.x }}"}}, "with.query.owner"),
        ("http_request", {"url": "http://x.example/", "response": "{{ input.x }}"}, "with.response"),
        ("transform", {"select": "{{ input.x }}", "set": {"a": 1}}, "with.select"),
        ("approval", {"message": "{{ input.x }}"}, "with.message"),
    ],
)
def test_computed_null_is_no_value_of_any_other_field(action: str, config: Any, path: str) -> None:
    assert performed(action, config, {"x": None}).error["details"] == {"path": path}


def test_whole_config_that_is_computed_is_held_to_the_same() -> None:
    row = performed("approval", "{{ input.asked }}", {"asked": {"message": "m", "approvers": None}})
    assert row.error["details"] == {"path": "with.approvers"}


@pytest.mark.parametrize(
    ("config", "path"),
    [
        ({"url": "http://x.example/", "query": "{{ input.x }}"}, "with.query.owner"),
        ({"url": "http://x.example/", "headers": "{{ input.x }}"}, "with.headers.owner"),
        ({"url": "http://x.example/", "form": "{{ input.x }}"}, "with.form.owner"),
    ],
)
def test_null_in_an_object_that_is_computed_fails_with_its_path(config: Any, path: str) -> None:
    assert performed("http_request", config, {"x": {"a": 1, "owner": None}}).error["details"] == {"path": path}


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (
            {"headers": {"X": "{{ input.x }}"}},
            "with.headers.X[0]: must be a text, a number, true or false, not a list, [1]",
        ),
        ({"headers": {"X": ["a", "{{ input.x }}"]}}, "with.headers.X[1]: must be a text, a number, true or false"),
        ({"forward_body": "{{ input.x }}"}, "with.forward_body: must be true or false, not [[1]]; write"),
        (
            {"response": "{{ input.y }}"},
            "with.response: must be auto, json, text, base64 or none, not 5; write response: auto",
        ),
        ({"multipart": {"a": {"filename": "{{ input.y }}"}}}, "with.multipart.a: needs text or base64, and not both"),
        ({"multipart": {"a": ["{{ input.x }}"]}}, "with.multipart.a[0]: must be a text"),
    ],
)
def test_error_of_a_config_has_one_sentence_for_each_place(config: Any, says: str) -> None:
    row = performed("http_request", {"url": "http://x.example/", **config}, {"x": [[1]], "y": 5})
    message = row.error["message"]
    assert message.startswith(f"step 'a': {says}")
    assert message.count("with.") == 1, message


@pytest.mark.parametrize("omitted", ["{{ omit }}", "{{ input.x|default(omit, true) }}", "{{ omit if true else 1 }}"])
def test_omit_leaves_a_field_out(omitted: str) -> None:
    row = performed("approval", {"message": "m", "approvers": omitted, "timeout": omitted}, {"x": None})
    assert (row.state, row.wake_at, row.config) == ("waiting", None, {"message": "m"})


def test_omit_leaves_out_keys_and_items_of_a_payload_too() -> None:
    row = performed("transform", {"set": {"a": {"b": "{{ omit }}", "c": [1, "{{ omit }}", 3]}, "d": None}}, {})
    assert row.output == {"a": {"c": [1, 3]}, "d": None}


def test_key_of_the_input_does_not_stand_in_for_omit() -> None:
    row = performed("transform", {"set": {"a": "{{ omit }}", "b": "{{ input.omit }}"}}, {"omit": "x"})
    assert row.output == {"b": "x"}


@pytest.mark.parametrize(
    ("action", "config"),
    [
        ("approval", {"message": "a {{ omit }}"}),
        ("transform", {"set": {"a": "{{ [omit] }}"}}),
        ("transform", {"set": {"a": "{{ omit ~ 'b' }}"}}),
        ("transform", {"map": {"a": "omit"}}),
        ("condition", {"expression": "omit"}),
        ("transform", "{{ omit }}"),
    ],
)
def test_omit_elsewhere_fails_the_step(action: str, config: Any) -> None:
    assert performed(action, config, {}).error["kind"] == "expression"


def test_payload_keeps_null_and_empty_values() -> None:
    config = {"set": {"a": "{{ input.x }}", "b": "{{ input.y }}", "c": "is {{ input.x }}"}}
    assert performed("transform", config, {"x": None, "y": []}).output == {"a": None, "b": [], "c": "is null"}
    row = performed("sub_workflow", {"workflow": "none-such", "input": "{{ input.x }}"}, {"x": None})
    assert row.error["kind"] == "sub_workflow"


def test_null_that_is_written_out_still_means_left_out() -> None:
    assert performed("approval", {"message": "m", "timeout": None}, {}).state == "waiting"


def test_empty_list_of_approvers_is_refused_at_publish_and_kept_in_earlier_versions() -> None:
    given = document(step("a", action="approval", with_={"message": "m", "approvers": []}))
    assert "names nobody" in faults(given)["steps[0].with.approvers"]
    text = "name: old\nsteps: [{id: a, action: approval, with: {message: m, approvers: []}}]"
    [run_id] = begun(of_earlier_release(text))
    drain()
    assert states(run_id) == {"a": "waiting"}


# Parts of texts


@pytest.mark.parametrize("value", [None, [1], {"a": 1}])
@pytest.mark.parametrize(
    ("action", "config"),
    [
        ("http_request", {"url": "http://x.example/users/{{ input.x }}"}),
        ("http_request", {"url": "http://x.example/?id={{ input.x }}"}),
        ("http_request", {"url": "http://x.example/", "headers": {"Authorization": "Bearer {{ input.x }}"}}),
        ("http_request", {"url": "http://x.example/", "query": {"q": "id:{{ input.x }}"}}),
        ("wait_for_signal", {"name": "paid.{{ input.x }}"}),
        ("wait_for_signal", {"name": "paid", "key": "order-{{ input.x }}"}),
        ("sub_workflow", {"workflow": "w", "labels": {"of": "n {{ input.x }}"}}),
        ("notify", {"channel": "ops-{{ input.x }}"}),
    ],
)
def test_null_list_or_object_is_no_part_of_a_text_that_is_an_argument(action: str, config: Any, value: Any) -> None:
    error = performed(action, config, {"x": value}).error
    assert error["kind"] == "expression"
    assert "input.x" in error["message"]
    assert "no part of this text" in error["message"]


def test_empty_part_of_a_url_is_refused_before_its_query() -> None:
    row = performed("http_request", {"url": "http://x.example/users/{{ input.x }}?a=1"}, {"x": ""})
    assert "another address" in row.error["message"]


def test_text_for_people_may_have_anything_in_it() -> None:
    row = performed("fail", {"message": "got {{ input.x }} and {{ input.y }}"}, {"x": None, "y": [1]})
    assert row.error["message"] == "got null and [1]"


# Numbers in texts


@pytest.mark.parametrize(("value", "text"), [(5, "5"), (1.5, "1.5"), (True, "true"), (0.25, "0.25"), ("a", "a")])
def test_number_becomes_a_text_where_a_text_is_needed(value: Any, text: str) -> None:
    row = performed("wait_for_signal", {"name": "{{ input.x }}", "key": "{{ input.x }}"}, {"x": value})
    assert (row.signal, row.signal_key) == (text, text)
    assert performed("fail", {"message": "{{ input.x }}"}, {"x": value}).error["message"] == text
    assert performed("fail", {"message": value}, {}).error["message"] == text


@pytest.mark.parametrize("value", [[], [1], {"a": 1}])
@pytest.mark.parametrize(
    ("action", "config", "path"),
    [
        ("fail", {"message": "{{ input.x }}"}, "with.message"),
        ("sub_workflow", {"workflow": "w", "labels": {"of": "{{ input.x }}"}}, "with.labels.of"),
        ("notify", {"channel": "{{ input.x }}"}, "with.channel"),
        ("transform", {"rename": {"a": "{{ input.x }}"}}, "with.rename.a"),
    ],
)
def test_list_or_object_is_refused_as_a_text_with_its_path(action: str, config: Any, path: str, value: Any) -> None:
    message = performed(action, config, {"x": value}).error["message"]
    assert path in message
