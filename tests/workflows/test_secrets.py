"""Secrets in configs are masked for those who may not edit the workflow, and a masked value is never published."""

from __future__ import annotations

import time

import pytest

from actions.base import Json
from workflows.definitions.errors import DefinitionError
from workflows.definitions.secrets import MARKER, masked, masked_definition
from workflows.publishing.validate import validate


@pytest.mark.parametrize(
    "config",
    [
        {"headers": {"Authorization": "Bearer abc"}},
        {"headers": {"x-api-key": "abc"}},
        {"headers": {"Cookie": "session=abc"}},
        {"headers": {"X-Token": ["abc", "abc"]}},
        {"headers": {"Authorization": "Bearer abc{{ input.suffix }}"}},
        {"query": {"access_token": "abc"}},
        {"query": {"signature": 123}},
        {"password": "abc"},
        {"auth": {"client_secret": "abc"}},
        {"body": {"login": {"api_key": "abc"}}},
        {"list": [{"token": "abc"}]},
    ],
)
def test_a_secret_is_masked(config: Json) -> None:
    assert "abc" not in str(masked(config))
    assert "123" not in str(masked(config))
    assert MARKER in str(masked(config))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:abc@host/path", f"https://{MARKER}@host/path"),
        ("see https://abc@host and ftp://x:abc@host/", f"see https://{MARKER}@host and ftp://{MARKER}@host/"),
        ("https://host/?a=1&api_key=abc&b=2#x", f"https://host/?a=1&api_key={MARKER}&b=2#x"),
        ("https://host/?X-Amz-Signature=abc", f"https://host/?X-Amz-Signature={MARKER}"),
    ],
)
def test_the_secret_parts_of_a_url_are_masked(url: str, shown: str) -> None:
    assert masked({"url": url}) == {"url": shown}


@pytest.mark.parametrize(
    "config",
    [
        {"url": "https://host/path?page=2", "method": "POST"},
        {"headers": {"Accept": "text/html", "Authorization": "{{ input.token }}"}},
        {"headers": {"Authorization": None}},
        {"name": "approved", "key": "{{ input.order }}"},
        {"key": "order-4711"},
        {"set": {"total": "{{ input.a + input.b }}", "when": "a@b://c"}},
        {"text": "mail to a@example.org: x=1"},
        "{{ input }}",
        None,
        7,
    ],
)
def test_what_is_no_secret_is_shown_as_it_is(config: Json) -> None:
    assert masked(config) == config


def test_every_config_of_a_definition_is_masked() -> None:
    said: dict[str, Json] = {"url": "https://h/", "headers": {"Authorization": "Bearer abc"}}
    step: dict[str, Json] = {"id": "a", "needs": [], "action": "http_request", "with": said}
    undone: dict[str, Json] = {**step, "compensate": {"action": "http_request", "with": said}}
    definition: dict[str, Json] = {"name": "n", "steps": [undone], "on_failure": [step], "finally": [step]}
    shown = masked_definition(definition)
    assert "abc" not in str(shown)
    assert str(shown).count(MARKER) == 4
    assert str(definition).count("abc") == 4


def test_a_masked_value_is_refused_by_name() -> None:
    said: dict[str, Json] = {"url": f"https://{MARKER}@h/", "headers": {"Authorization": MARKER}}
    with pytest.raises(DefinitionError) as refused:
        validate({"name": "n", "steps": [{"id": "a", "action": "http_request", "with": said}]})
    found = {problem.path: problem.message for problem in refused.value.problems}
    assert set(found) == {"steps[0].with.url", "steps[0].with.headers.Authorization"}
    assert all("is a masked value" in message for message in found.values())


@pytest.mark.parametrize(
    "text", ["://" * 300_000, "://" + "a" * 1_000_000, "?key" * 300_000, "?key=" * 200_000, "&" * 1_000_000]
)
def test_a_long_text_is_searched_in_linear_time(text: str) -> None:
    began = time.thread_time()
    masked({"url": text})
    assert time.thread_time() - began < 1.5
