"""Publishing warns of an expression that reads a field which an output of that step never has."""

from __future__ import annotations

import time
from typing import Any

import pytest

from actions import registry
from actions.base import Output
from workflows.definitions import output_reads
from workflows.formats import parse
from workflows.publishing.validate import validate

_FETCH = "{id: fetch, action: http_request, with: {url: 'https://a.example/x'}}"
_LIST = "{id: each, action: compute, for_each: {items: [1, 2]}}"


def told(steps: str, more: str = "") -> list[str]:
    document = parse.load(f"name: reads\nsteps:\n{steps}\n{more}").document
    return [one for one in validate(document).warnings if "never has" in one]


def reading(expression: str, first: str = _FETCH) -> list[str]:
    return told(f'  - {first}\n  - {{id: use, action: transform, with: {{set: {{a: "{expression}"}}}}}}')


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("{{ steps.fetch.output.bdy }}", "steps.fetch.output.bdy, which an output of http_request never has"),
        ("{{ steps['fetch']['output']['statuscode'] }}", "reads steps.fetch.output.statuscode"),
        ("{{ steps.fetch.output.json.id|default(0) }}", "reads steps.fetch.output.json"),
        ("got {{ steps.fetch.output.code ~ '' }} and {{ 1 }}", "reads steps.fetch.output.code"),
        ("{{ [steps.fetch.output.Body]|length }}", "did you mean 'body'"),
        ("{{ steps.fetch.output.error }}", "reads steps.fetch.output.error"),
    ],
)
def test_a_field_that_is_never_there_is_told_with_the_nearest(expression: str, expected: str) -> None:
    [warning] = reading(expression)
    assert warning.startswith("steps[1].with.set.a reads ")
    assert expected in warning
    assert "(it has status, headers, header_values, body, body_type, replaced)" in warning


@pytest.mark.parametrize(
    ("expression", "first"),
    [
        ("{{ steps.fetch.output.body.items[0].name }}", _FETCH),
        ("{{ steps.fetch.output.headers['x-any'] }}", _FETCH),
        ("{{ steps.fetch.output }} {{ steps.fetch.state }}", _FETCH),
        ("{{ steps.fetch.output.error.message }}", _FETCH.replace("}}", "}, on_error: continue}")),
        ("{{ steps.t.output.anything }}", "{id: t, action: transform, with: {select: [a]}}"),
        ("{{ steps.d.output.anything }}", "{id: d, action: default}"),
        ("{{ steps.each.output.results[0].result }} {{ steps.each.output.failed }}", _LIST),
    ],
)
def test_fields_that_may_be_there_are_not_told(expression: str, first: str) -> None:
    assert reading(expression, first) == []


def test_every_place_with_expressions_is_looked_at() -> None:
    steps = f"""
  - {_FETCH}
  - {_LIST}
  - {{id: asks, action: default, if: "steps.fetch.output.ok"}}
  - {{id: cond, action: condition, with: {{expression: "steps.fetch.output.ok"}}}}
  - {{id: map, action: transform, with: {{map: {{a: "steps.fetch.output.ok"}}}}}}
  - id: list
    action: notify
    for_each: {{items: "{{{{ steps.fetch.output.rows }}}}"}}
    with: {{channel: a, text: "{{{{ steps.each.output.total }}}}"}}
    compensate: {{action: notify, with: {{channel: a, text: "{{{{ steps.list.output.channels }}}}"}}}}
  - {{id: given, action: compute, payload: "{{{{ steps.fetch.output.rows }}}}"}}
"""
    more = "on_failure: [{id: f, action: fail, with: {message: '{{ steps.cond.output.reslt }}'}}]\n"
    more += "finally: [{id: n, action: notify, with: {channel: a, text: '{{ steps.asks.output.a }}'}}]\n"
    more += "output: {a: '{{ steps.cond.output.results }}'}"
    places = [one.partition(" reads ")[0] for one in told(steps, more)]
    assert places == [
        "output.a",
        "steps[2].if",
        "steps[3].with.expression",
        "steps[4].with.map.a",
        "steps[5].with.text",
        "steps[5].for_each.items",
        "steps[5].compensate.with.text",
        "steps[6].payload",
        "on_failure[0].with.message",
    ]


class _Inner(Output):
    id: int


class _Nested(Output):
    rows: list[_Inner]
    first: _Inner | None = None
    other: _Inner | str = ""


def test_fields_inside_fields_are_followed_as_far_as_they_are_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(registry.get("http_request")), "output_class", _Nested)
    [one] = reading("{{ steps.fetch.output.rows[0].idd }}")
    assert "steps.fetch.output.rows[0].idd, which" in one
    assert "did you mean 'id'" in one
    [two] = reading("{{ steps.fetch.output.first.name }}")
    assert "steps.fetch.output.first.name" in two
    assert reading("{{ steps.fetch.output.other.name }} {{ steps.fetch.output.rows[0].id }}") == []


def test_warnings_are_bounded_in_number_and_time() -> None:
    steps: list[Any] = [{"id": "s0", "action": "compute"}]
    steps += [
        {"id": f"s{n}", "action": "notify", "with": {"channel": "a", "text": f"{{{{ steps.s0.output.x{n} }}}}"}}
        for n in range(1, 3000)
    ]
    began = time.thread_time()
    found = [one for one in validate({"name": "many", "steps": steps}).warnings if "never has" in one]
    assert len(found) == output_reads.MOST_WARNINGS
    assert time.thread_time() - began < 10
