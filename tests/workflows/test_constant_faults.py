"""What is wrong with a config in every run is refused when it is published."""

from __future__ import annotations

from typing import Any

import pytest

from actions.base import Json
from tests.workflows.definitions import document, faults, step
from workflows.definitions.errors import DefinitionError
from workflows.publishing.jobs import check_payload


def asked(**config: Json) -> dict[str, str]:
    return faults(document(step("a", action="http_request", with_={"url": "https://x.example/", **config})))


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("example.com/x", "must begin with http:// or https://"),
        ("ftp://example.com", "must begin with http:// or https://"),
        ("file:///etc/passwd", "must begin with http:// or https://"),
        ("//example.com", "must begin with http:// or https://"),
        ("https://", "name a host"),
        ("https://ada:secret@example.com/", "user or password"),
        ("https://ada@example.com/", "user or password"),
        ("https://example.com:99999/", "port"),
        ("https://exa mple.com/", "names no host"),
        ("https://256.1.1.1/", "cannot be used"),
        ("https://x.example/\u0001", "control character"),
        ("https://x.example/" + "a" * 9000, "is longer than 8192 characters"),
        ("example.com/{{ input.id }}", "must begin with http:// or https://"),
        ("ftp://{{ input.host }}/x", "must begin with http:// or https://"),
        ("/users/{{ input.id }}", "must begin with http:// or https://"),
        ("https://ada:secret@{{ input.host }}/", "user or password"),
    ],
)
def test_url_that_can_never_be_used_is_refused(url: str, says: str) -> None:
    found = asked(url=url)
    assert says in found["steps[0].with.url"]
    assert "secret" not in str(found)


@pytest.mark.parametrize(
    "url",
    [
        "https://x.example/?mail=a@b",
        "HTTP://x.example",
        "{{ input.url }}",
        "{{ input.scheme }}://x.example/",
        "https://{{ input.host }}/a@b",
        "http{{ 's' if input.tls else '' }}://x.example",
        "https://x.example/@{{ input.user }}",
        "http://127.0.0.1:1/",
    ],
)
def test_url_that_may_be_used_is_accepted(url: str) -> None:
    assert asked(url=url) == {}


@pytest.mark.parametrize(
    ("headers", "place"),
    [
        ({"X": "a\r\nB: c"}, "X"),
        ({"X-Snow": "\u2603"}, "X-Snow"),
        ({"No Name": "a"}, "No Name"),
        ({"\u2603": "{{ input.a }}"}, "\u2603"),
        ({"X": " a"}, "X"),
        ({"X-A": "1", "x-a": "2"}, "x-a"),
    ],
)
def test_header_that_can_never_be_sent_is_refused(headers: dict[str, Json], place: str) -> None:
    assert f"steps[0].with.headers.{place}" in asked(headers=headers)


@pytest.mark.parametrize("headers", [{"X": "", "Y": "{{ input.y }}"}, {"X": 5, "Y": True}, {"A": "a\tb"}])
def test_header_that_may_be_sent_is_accepted(headers: dict[str, Json]) -> None:
    assert asked(headers=headers) == {}


@pytest.mark.parametrize(
    ("part", "path"),
    [
        ({"steps": [step("a", compensate={"action": "http_request", "with": {"url": "x"}})]}, "steps[0].compensate"),
        ({"finally": [step("b", action="http_call", with_={"url": "x"})]}, "finally[0]"),
        ({"on_failure": [step("b", action="http_call", with_={"url": "x"})]}, "on_failure[0]"),
    ],
)
def test_the_same_holds_in_every_part_of_a_definition(part: dict[str, Any], path: str) -> None:
    assert f"{path}.with.url" in faults({**document(step("a")), **part})


@pytest.mark.parametrize("url", ["example.com", "ftp://x", "https://u:p@x/"])
def test_job_with_such_a_url_is_refused(url: str) -> None:
    with pytest.raises(DefinitionError) as refused:
        check_payload("http_request", {"url": url})
    assert [problem.path for problem in refused.value.problems] == ["payload.url"]
