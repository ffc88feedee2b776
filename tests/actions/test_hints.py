"""Expressions and names of other systems are answered with what to write here."""

from __future__ import annotations

from typing import Any

import pytest

from actions import expressions, registry
from actions.expressions import ExpressionError


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("a && b", "write `a and b`"),
        ("a || b", "write `a or b`"),
        ("!a", "write `not a`"),
        ("x != 'a' and !y", "write `not a`"),
        ("a === b", "write `a == b` in place of ==="),
        ("a !== b", "write `a != b`"),
        ("a = 3", "write `a == b` to compare"),
        ("a ? b : c", "write `a if test else b`"),
        ("a ?? b", "write `a|default(b)`"),
        ("a?.b", "write `a.b|default(none)`"),
        ("$json.x", "write `input.x` or `steps.<id>.output.x`"),
        ("$('Fetch').item.json.x", "write `steps.<id>.output.x`"),
        ("$.x", "write `input.x`"),
        ("rows.map(r => r.x)", "map(attribute='name')"),
        ("input.name.toUpperCase()", "write `x|upper` in place of x.toUpperCase()"),
        ("input.rows.size()", "write `x|length`"),
        ("input.x == null", "uses the word 'null'; write none"),
        ("{'a': undefined}", "uses the word 'undefined'; write none"),
    ],
)
def test_what_other_languages_write_is_answered_with_what_to_write_here(source: str, said: str) -> None:
    assert said in (expressions.check_expression(source) or "")
    [(_, message)] = expressions.check({"a": f"{{{{ {source} }}}}"}, path="")
    assert said in message


@pytest.mark.parametrize(
    "source", ["a == 'x && y'", "a == '!== ? : $json'", "a != b", "a <= b and b >= c", "a['null']"]
)
def test_what_is_right_gets_no_hint(source: str) -> None:
    assert expressions.check_expression(source) is None


def test_what_stands_in_quotes_gets_no_hint() -> None:
    said = expressions.check_expression("'a && !b' ~ ~") or ""
    assert "does not parse" in said
    assert "; write" not in said


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("input.first-name", "did you mean input['first-name']?"),
        ("steps.fetch.output.user-id", "did you mean steps.fetch.output['user-id']?"),
        ("inputs.email", "did you mean 'input'?"),
        ("params.email", "did you mean 'input'?"),
        ("outputs.fetch", "did you mean 'steps.<id>.output'?"),
        ("env.token", "there is no 'env' here"),
        ("input.emial", "did you mean 'email'?"),
        ("emali", "did you mean 'email'?"),
        ("input.rows.length", "write `input.rows|length`"),
        ("input.email.size", "write `input.email|length`"),
    ],
)
def test_a_name_that_is_not_there_is_answered_with_the_likely_one(source: str, said: str) -> None:
    given: dict[str, Any] = {"email": "a@b.c", "first-name": "Ada", "rows": [1]}
    keys = {f"k{n}": n for n in range(30)}
    names = {**keys, **given, "input": given, "steps": {"fetch": {"output": {"user-id": 1, "name": "x"}}}, "run": {}}
    with pytest.raises(ExpressionError) as caught:
        expressions.evaluate(source, names)
    assert said in str(caught.value)


def test_names_of_ours_are_listed_before_the_keys_of_the_input() -> None:
    names: dict[str, Any] = {**{f"k{n}": n for n in range(30)}, "input": {}, "steps": {}, "run": {}}
    with pytest.raises(ExpressionError, match="the names are input, steps, run, k0, k1"):
        expressions.evaluate("wholly_unlike", names)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("sms", "; for this use 'notify'"),
        ("sendMail", "; for this use 'email'"),
        ("emailReadImap", "; for this use 'email'"),
        ("slack_message", "; for this use 'notify'"),
        ("delay", "; for this use 'wait'"),
        ("http", "; for this use 'http_request'"),
        ("n8n-nodes-base.httpRequest", "; for this use 'http_request'"),
        ("io.kestra.plugin.core.log.Log", "; for this use 'notify'"),
        ("IF", "; for this use 'condition'"),
        ("manual_approve", "; for this use 'approval'"),
        ("foreach", "; write `for_each` in the step that is to be repeated"),
        ("python", "; write an action of your own: see docs/writing-an-action.md"),
        ("compte", "; did you mean 'compute'?"),
        ("transfrom", "; did you mean 'transform'?"),
        ("flakey", "; did you mean 'flaky'?"),
        ("wizard", ""),
        ("", ""),
    ],
)
def test_an_unknown_action_is_answered_by_meaning_or_not_at_all(name: str, said: str) -> None:
    assert registry.suggestion(name) == said
