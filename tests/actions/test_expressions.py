"""What expressions come to, and what is said when they come to nothing."""

from __future__ import annotations

import contextlib
import copy
import threading
from typing import Any

import pytest

from actions import expressions, payload
from actions.base import Json
from actions.expressions import ExpressionError
from actions.expressions.filters import FILTERS, LIST_FILTERS

NAMES: dict[str, Any] = {
    "input": {"items": [1, 2], "keys": 7, "email": "a@b", "n": 5, "rows": [{"a": 2, "b": "x"}, {"a": 1, "b": "y"}]},
    "steps": {"pick": {"output": {"age": 20, "say": "it's"}, "state": "succeeded", "error": None}},
    "email": "a@b",
}


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("{{ input.n }}", 5),
        ("{{email}}", "a@b"),
        ("n is {{ input.n }}.", "n is 5."),
        ("{{ input.n }}{{ none }}{{ true }}{{ [1] }}", "5nulltrue[1]"),
        ("{{ input.items }}", [1, 2]),
        ("{{ input.keys }}", 7),
        ("{{ steps['pick'][\"output\"]['age'] }}", 20),
        ("{{ input.rows[0].a }}", 2),
        ("{{ input.rows.1.b }}", "y"),
        ("{{ input.rows[input.n - 4].b }}", "y"),
        ("{{ input.items[-1] }}", 2),
        ("{{ input.items[:1] }}", [1]),
        ("{{ '}}' ~ steps.pick.output.say }}", "}}it's"),
        ("{{ {'a': {'b': input.n}} }}", {"a": {"b": 5}}),
        ("{{ input.n + 1 > 5 and not false }}", True),
        ("{{ 7 // 2 }} {{ 7 % 2 }} {{ 7 / 2 }} {{ 2 ** 3 }} {{ 2 * 3 }} {{ -input.n }}", "3 1 3.5 8 6 -5"),
        ("{{ 'big' if input.n > 9 else 'small' }}", "small"),
        ("{{ 2 in input.items }} {{ 3 not in input.items }} {{ 'n' in input }}", "true true true"),
        ("{{ input.nope|default('d') }}", "d"),
        ("{{ nope.at.all|default(none) }}", None),
        ("{{ input.email|default('d') }}", "a@b"),
        ("{{ 0|default(3, true) }}", 3),
        ("{{ []|first|default(3) }}", 3),
        ("{{ (input.rows|first).nope|default('d') }}", "d"),
        ("{{ nope is defined }} {{ nope is undefined }} {{ input.n is defined }}", "false true true"),
        ("{{ input.rows|map(attribute='a')|join('-') }}", "2-1"),
        ("{{ input.rows|map(attribute='keys') }}", [None, None]),
        ("{{ input.rows|selectattr('a', 'gt', 1)|map(attribute='b')|list }}", ["x"]),
        ("{{ (input.rows|sort(attribute='a')|first).b }}", "y"),
        ("{{ ['a', 'b']|map('upper')|join }}", "AB"),
        ("{{ range(4)|select('odd')|sum }}", 4),
        ("{{ input.rows|groupby('b')|map(attribute='key') }}", ["x", "y"]),
        ("{{ 'a-b'|replace('-', '+')|upper }}", "A+B"),
        ("{{ '{} of {}'|format(1, 2) }}", "1 of 2"),
        ("{{ '2.5'|float + '2'|int }}", 4.5),
        ("{{ {'b': 1}|tojson }}", '{"b":1}'),
        ("{{ 'a b&c'|urlencode }}", "a%20b%26c"),
        ("line\r\n{{ input.n }}", "line\r\n5"),
        ("no tags { here }", "no tags { here }"),
    ],
)
def test_expression_comes_to(source: str, value: Json) -> None:
    assert expressions.check(source, path="with") == []
    assert expressions.render(source, NAMES) == value


def test_whole_values_are_rendered_and_left_as_they_were() -> None:
    config: Json = {"url": "http://x/{{ input.n }}", "body": [{"mail": "{{ email }}", "plain": 1.5}]}
    before, names = copy.deepcopy(config), copy.deepcopy(NAMES)
    assert expressions.render(config, NAMES) == {"url": "http://x/5", "body": [{"mail": "a@b", "plain": 1.5}]}
    assert (config, names) == (before, NAMES)


@pytest.mark.parametrize("source", ["steps.pick.output.age >= 18", "{{ steps.pick.output.age >= 18 }}", " true "])
def test_bare_expression_may_be_wrapped(source: str) -> None:
    assert expressions.check_expression(source) is None
    assert expressions.evaluate(source, NAMES) is True


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{{ input.nope }}", "needs input.nope, which is not there; input has items, keys, email, n, rows"),
        ("{{ steps.gone.output }}", "needs steps.gone, which is not there; steps has pick"),
        ("{{ input.get }}", "needs input.get"),
        ("{{ input.items.append }}", "needs input.items.append, which is not there; input.items has 2 items"),
        ("{{ input.email.__class__ }}", "input.email is a text"),
        ("{{ not input.nope }}", "needs input.nope"),
        ("{{ [input.nope] }}", "needs input.nope"),
        ("{{ (input.rows|first).get }}", "needs 'get' in an object"),
        ("{{ input.n < 'x' }}", "cannot order a number and a text"),
        ("{{ input.n / 0 }}", "unable to calculate 5 / 0"),
        ("{{ 'a' + 1 }}", "join texts with ~"),
        ("{{ input.n|upper }}", "upper needs a text, not a number"),
        ("{{ []|first }}", "first of nothing"),
        ("{{ 'x'|int }}", "'x' is no number for int"),
        ("{{ 2 ** 62 * 4 }}", "beyond 64 bits"),
    ],
)
def test_expression_without_a_value_says_why_and_where(source: str, said: str) -> None:
    with pytest.raises(ExpressionError) as failure:
        expressions.render({"a": [f"xy{source}"]}, NAMES)
    assert said in str(failure.value)
    assert str(failure.value).startswith("a[0]: expression `")
    assert failure.value.kind == "expression"
    assert failure.value.details == {"expression": source[2:-2].strip(), "position": 2, "path": "a[0]"}


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{% if x %}", "is a statement"),
        ("{# c #}", "is a comment"),
        ("{{ x", "does not end"),
        ("{{ }}", "does not parse"),
        ("{{ x === 1 }}", "does not parse"),
        ("{{ x y }}", "has something after its end"),
        ("{{- x }}", "whitespace control"),
        ("{{ x.append(1) }}", "may not call"),
        ("{{ namespace() }}", "may not call"),
        ("{{ x|uper }}", "did you mean 'upper'?"),
        ("{{ x|attr('y') }}", "unknown filter 'attr'"),
        ("{{ x is od }}", "unknown test 'od'; did you mean 'odd'?"),
        ("{{ x|map('nope') }}", "map with 'nope'"),
        ("{{ x|map(y) }}", "map with a computed name"),
        ("{{ x|map('map', 'map') }}", "map with 'map'"),
        ("{{ x|replace('a') }}", "wrong arguments"),
        ("{{ x|join(*y) }}", "may not use * or **"),
        ("{{ 1 < 2 < 3 }}", "compares in a chain"),
        ("{{ 'x' if y }}", "has an `if` without `else`"),
        ("{{ {1: 2} }}", "key is no quoted text"),
        ("{{ 99999999999999999999 }}", "beyond 64 bits"),
        ("{{ 1e999 }}", "too large"),
        ("{{ '\\0' }}", "NUL"),
        ("{{ if }}", "the word 'if'"),
        ("{{ '" + "x" * 8200 + "' }}", "longer than 8 KB"),
        ("{{ " + "(" * 4000 + "1" + ")" * 4000 + " }}", "too deep"),
        ("{{ " + " + ".join("1" * 50) + " }}", "deeper than 32"),
        ("{{ [" + "1," * 600 + "] }}", "more than 500 parts"),
        ("{{ x" + "|default(y, true)" * 20 + " }}", "too large once written out"),
    ],
)
def test_what_may_not_be_used_is_refused_before_it_runs(source: str, said: str) -> None:
    [(path, message)] = expressions.check({"a": [{"b": source}]}, path="steps[0].with")
    assert path == "steps[0].with.a[0].b"
    assert said in message
    with pytest.raises(ExpressionError):
        expressions.render(source, NAMES)


def test_steps_that_a_value_looks_at_are_known() -> None:
    value: Json = {"a": "{{ steps.x.output ~ steps['y'].state }}", "b": ["{{ steps.z is defined }}", "steps.no"]}
    assert expressions.references(value) == {"x", "y", "z"}
    assert expressions.references("{{ steps[input.n] }}") == {"*"}
    assert expressions.references("{{ steps|length }}") == {"*"}
    assert expressions.expression_references("steps.q.state == 'failed'") == {"q"}
    assert expressions.has_expression(value)
    assert not expressions.has_expression({"a": ["x", {"b": 1}]})


def test_conditions_hold_unless_empty_zero_or_null() -> None:
    empty: list[Json] = [None, False, 0, "", [], {}]
    assert not any(expressions.truthy(value) for value in empty)
    full: list[Json] = [True, 1, "x", [0], {"a": None}]
    assert all(expressions.truthy(value) for value in full)


def test_threads_evaluate_side_by_side() -> None:
    answers: list[Json] = []

    def work() -> None:
        answers.extend(expressions.evaluate("steps.pick.output.age|string|length + 1", NAMES) for _ in range(300))

    threads = [threading.Thread(target=work, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert answers == [3] * 1200


@pytest.mark.parametrize("filter_", sorted({*FILTERS, *LIST_FILTERS, "default"}))
def test_omit_is_no_value_for_any_filter(filter_: str) -> None:
    for source in (f"omit|{filter_}", f"omit|{filter_}(1)", f"'a'|{filter_}(omit)", f"[1, 2]|{filter_}(omit)"):
        if expressions.check_expression(source) is None:
            _only_json(source)


@pytest.mark.parametrize(
    "source",
    [
        *(f"omit {operator} omit" for operator in ("+", "-", "*", "/", "//", "%", "**", "~", "==", "<", "in", "and")),
        *("not omit", "-omit", "omit[0]", "omit.a", "omit[1:2]", "[1][omit]", "{'a': 1}[omit]", "range(omit)"),
        *(
            "{'a': omit}",
            "[omit]",
            "[[omit]]",
            "omit is defined",
            "omit is none",
            "[omit, 1]|sort",
            "omit if omit else 1",
        ),
    ],
)
def test_omit_is_no_value_for_any_operator(source: str) -> None:
    _only_json(source)


def _only_json(source: str) -> None:
    """What an expression gives is JSON, or it fails as an expression; `omit` itself is left out."""
    with contextlib.suppress(ExpressionError):
        payload.check(expressions.render({"a": f"{{{{ {source} }}}}"}, {"input": {}}))
