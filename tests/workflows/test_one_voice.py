"""A wrong value is answered in the same words at publishing and in a run."""

from __future__ import annotations

import pytest

from actions.base import Json
from tests.workflows.definitions import document, faults, step
from workflows.definitions.complaints import HIDDEN, shown

WRONG = [
    ("http_request", {"url": [3]}, "url", "must be a text, a number, true or false, not a list, [3]"),
    ("http_request", {"url": "http://a", "method": "GOT"}, "method", "POST, PUT, PATCH, DELETE or OPTIONS, not 'GOT'"),
    (
        "http_request",
        {"url": "http://a", "headers": [1]},
        "headers",
        "must be a mapping whose entries are a text or a list of texts, not [1]; write",
    ),
    (
        "http_request",
        {"url": "http://a", "query": {"b": {"x": None}}},
        "query.b",
        "must be a text, a whole number, a number, true or false or a list of these, not {'x': null}",
    ),
    (
        "http_request",
        {"url": "http://a", "forward_body": "maybe"},
        "forward_body",
        "must be true or false, not 'maybe'",
    ),
    ("http_request", {"url": "http://a", "timeout": []}, "timeout", "is no duration; write a number of seconds"),
    ("approval", {"message": ""}, "message", "must have at least 1 character, not 0"),
    ("approval", {"message": "a", "approvers": ["a", None]}, "approvers[1]", "true or false, not null"),
    ("compute", {"iterations": -1}, "iterations", "must be 0 or more, not -1"),
    ("compute", {"iterations": None}, "iterations", "must be a whole number, not null; write iterations: 3"),
    ("notify", {"channel": "x" * 300}, "channel", "must have at most 200 characters, not 300"),
    ("notify", {}, "channel", "is required: a text; write channel: ops"),
    ("wait", {"until": "noon"}, "until", "'noon' is no moment; write 2026-12-01T09:00:00+01:00"),
]


@pytest.mark.parametrize(("action", "config", "path", "said"), WRONG)
def test_a_wrong_config_at_publishing(action: str, config: dict[str, Json], path: str, said: str) -> None:
    found = faults(document(step("a", action=action, with_=config)))
    assert list(found) == [f"steps[0].with.{path}"]
    assert said in found[f"steps[0].with.{path}"]


@pytest.mark.parametrize(
    "more",
    [
        {"headers": {"X-Api-Key": [["hunter2"]]}},
        {"query": {"token": {"a": "hunter2"}}},
        {"body": 1, "method": ["hunter2"]},
    ],
)
def test_a_secret_of_a_definition_is_not_shown(more: dict[str, Json]) -> None:
    [said] = faults(document(step("a", action="http_request", with_={"url": "http://a", **more}))).values()
    assert ("hunter2" in said) == ("method" in more)
    assert (HIDDEN in said) == ("method" not in more)


@pytest.mark.parametrize(
    ("given", "path", "said"),
    [
        (document(step("a", retry=5)), "steps[0].retry", "write retry: {max_attempts: 5, initial:"),
        (
            document(step("a", retry={"delays": 3})),
            "steps[0].retry.delays",
            "must be a list whose entries are a duration",
        ),
        (
            document(step("a", compensate="x")),
            "steps[0].compensate",
            "must be a mapping of action, with, retry, timeout",
        ),
        (document(step("a", for_each=[1])), "steps[0].for_each", 'write for_each: {items: "{{ input.rows }}"}'),
        (document(step("a"), inputs=[1]), "inputs", "write inputs: {type: object, properties:"),
        (document(step("a"), concurrency=4), "concurrency", "write concurrency: {limit: 1}"),
        (document(step("a"), priority="high"), "priority", "must be a number, not a text"),
        (
            document(step("a", timeout="{{ input.t }}")),
            "steps[0].timeout",
            "takes no expression, as nothing renders it",
        ),
        (document(step("a", retry={"max_attempts": "{{ 3 }}"})), "steps[0].retry.max_attempts", "takes no expression"),
    ],
)
def test_no_message_has_the_name_of_a_class(given: Json, path: str, said: str) -> None:
    [(where, message)] = faults(given).items()
    assert where == path
    assert said in message
    assert not any(word in message for word in ("instance", "Definition", "dictionary", "Input should"))


def test_a_value_is_shown_as_it_is_written_in_a_document_and_cut() -> None:
    assert shown({"a": [None, True, 1.5, "x"]}) == "{'a': [null, true, 1.5, 'x']}"
    assert shown("x" * 10**7) == f"'{'x' * 56}..."
    assert len(shown([[["x" * 1000] * 1000] * 1000])) == 60
