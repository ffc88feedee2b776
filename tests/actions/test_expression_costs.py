"""What each operator, filter and test of expressions charges: doubling what it is given doubles the charge."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from actions import expressions, payload
from actions.base import Permanent
from actions.catalogue.transform import Transform, TransformConfig
from actions.expressions import ExpressionError, operators, values
from actions.expressions.filters import FILTERS, LIST_FILTERS
from actions.expressions.values import TESTS
from tests.actions.contexts import context as given


class Spent(NamedTuple):
    """What this thread's last evaluation was charged: units looked at or made, units made, bytes."""

    work: int
    made: int
    memory: int


def spent() -> Spent:
    """Return what was charged since this thread's last evaluation, or `shared`, began."""
    worked = values._budget.slices + values._SLICE - values._budget.slice
    return Spent(
        work=worked, made=values.MADE - values._budget.made, memory=values.MEMORY_BYTES - values._budget.memory
    )


MOMENT = "2026-03-01T00:00:00Z"
Arguments = Callable[[int], tuple[Any, ...]]


def _text(n: int) -> str:
    return "ab " * n


def _items(n: int) -> list[Any]:
    return list(range(n))


def _rows(n: int) -> list[Any]:
    return [{"a": at, "t": "x"} for at in range(n)]


def _words(n: int) -> list[Any]:
    return [f"w{at}" for at in range(n)]


def _object(n: int) -> dict[str, Any]:
    return {f"k{at}": at for at in range(n)}


# What each charges, with arguments of size n: "made" for what it makes, "work" for what it only looks at, "nothing"
# where it takes the same time and memory whatever it is given.
TABLE: dict[str, list[tuple[str, Arguments]]] = {
    "+": [("made", lambda n: (_text(n), _text(n))), ("made", lambda n: (_items(n), _items(n)))],
    "*": [("nothing", lambda n: (n, n))],
    "**": [("nothing", lambda n: (n, 2))],
    "- / // %": [("nothing", lambda n: (n, "-"))],
    "~": [("made", lambda n: (_text(n), "x")), ("made", lambda n: (_items(n), "x"))],
    "[:]": [
        ("made", lambda n: (_text(n), 1)),
        ("made", lambda n: (_items(n), 1)),
        ("nothing", lambda n: (_text(n), 0, 9)),
    ],
    "[a, b]": [("made", lambda n: tuple(_items(n)))],
    "{}": [("made", lambda n: tuple(part for at in range(n) for part in (f"k{at}", at)))],
    "range": [("made", lambda n: (n,))],
    "== of texts": [("work", lambda n: (_text(n), _text(n)))],
    "abs": [("nothing", lambda n: (-n,))],
    "batch": [("made", lambda n: (_items(n), 2))],
    "bool": [("nothing", lambda n: (_items(n),))],
    "capitalize": [("made", lambda n: (_text(n),))],
    "count": [("nothing", lambda n: (_items(n),))],
    "first": [("nothing", lambda n: (_items(n),))],
    "float": [("nothing", lambda n: (n,))],
    "format": [("made", lambda n: ("{}!", _text(n))), ("made", lambda n: (_text(n) + "{}", 1))],
    "groupby": [("made", lambda n: (_rows(n), "a")), ("made", lambda n: (_rows(n), "t"))],
    "indent": [("made", lambda n: (_text(n), 2)), ("made", lambda n: ("\n" * n, 9))],
    "int": [("nothing", lambda n: (n,))],
    "items": [("made", lambda n: (_object(n),))],
    "join": [
        ("made", lambda n: (_items(n), ", ")),
        ("made", lambda n: ([1, 2], _text(n))),
        ("made", lambda n: (_rows(n), "", "a")),
    ],
    "last": [("nothing", lambda n: (_items(n),))],
    "length": [("nothing", lambda n: (_text(n),))],
    "list": [("made", lambda n: (_text(n),)), ("made", lambda n: (_items(n),)), ("made", lambda n: (_object(n),))],
    "lower": [("made", lambda n: (_text(n),))],
    "max": [("work", lambda n: (_items(n),)), ("work", lambda n: ([_text(n), _text(n)],))],
    "min": [("work", lambda n: (_rows(n), "a"))],
    "replace": [("made", lambda n: (_text(n), "b", "xyz")), ("made", lambda n: ("bb", "b", _text(n)))],
    "reverse": [("made", lambda n: (_text(n),)), ("made", lambda n: (_items(n),))],
    "round": [("nothing", lambda n: (n + 0.5,))],
    "sort": [("made", lambda n: (_items(n),)), ("work", lambda n: ([_text(n), _text(n)],))],
    "split": [("made", lambda n: (_text(n),)), ("made", lambda n: (_text(n), "b"))],
    "string": [("made", lambda n: (_text(n),)), ("made", lambda n: (_rows(n),))],
    "sum": [("made", lambda n: (_items(n),)), ("made", lambda n: (_rows(n), "a"))],
    "title": [("made", lambda n: (_text(n),))],
    "tojson": [("made", lambda n: (_rows(n),)), ("made", lambda n: (_text(n),))],
    "trim": [("made", lambda n: (_text(n),))],
    "unique": [
        ("made", lambda n: (_items(n),)),
        ("made", lambda n: ([_text(n)],)),
        ("made", lambda n: (_rows(n), "t")),
    ],
    "upper": [("made", lambda n: (_text(n),))],
    "urlencode": [("made", lambda n: (_text(n),))],
    "map": [("made", lambda n: (_words(n), "upper")), ("made", lambda n: ([["x", "y"]], "join", _text(n)))],
    "select": [
        ("made", lambda n: (_items(n), "odd")),
        ("work", lambda n: (["x", "y"], "in", _text(n))),
        ("work", lambda n: ([_text(n)], "eq", _text(n))),
    ],
    "reject": [("made", lambda n: (_items(n), "odd")), ("work", lambda n: ([[0]], "in", _items(n)))],
    "selectattr": [("made", lambda n: (_rows(n), "a", "odd")), ("made", lambda n: ([], "a." * n))],
    "rejectattr": [("made", lambda n: (_rows(n), "a", "odd")), ("made", lambda n: ([], "a." * n))],
    # The library's.
    "add_time": [("nothing", lambda n: (MOMENT, n))],
    "base64_decode": [("made", lambda n: ("YWJj" * n,))],
    "base64_encode": [("made", lambda n: (_text(n),))],
    "base64url_decode": [("made", lambda n: ("YWJj" * n,))],
    "base64url_encode": [("made", lambda n: (_text(n),))],
    "coalesce": [("nothing", lambda n: (None, _text(n)))],
    "date_diff": [("nothing", lambda n: (MOMENT, MOMENT))],
    "decimal_add": [("nothing", lambda n: (n, "0.5"))],
    "decimal_compare": [("nothing", lambda n: (n, "0.5"))],
    "decimal_divide": [("nothing", lambda n: (n, "7"))],
    "decimal_multiply": [("nothing", lambda n: (n, "1"))],
    "decimal_round": [("nothing", lambda n: (n + 0.5,))],
    "decimal_subtract": [("nothing", lambda n: (n + 5000, "1"))],
    "decimal_sum": [("made", lambda n: (_items(n),)), ("made", lambda n: (_rows(n), "a"))],
    "flatten": [("made", lambda n: ([_items(n)],)), ("made", lambda n: ([[1]] * n,))],
    "format_date": [("nothing", lambda n: (MOMENT, "%Y"))],
    "format_number": [("nothing", lambda n: (n,))],
    "from_items": [("made", lambda n: ([["a", 1]] * n,))],
    "from_timestamp": [("nothing", lambda n: (n,))],
    "fromjson": [("made", lambda n: ("[" + "1," * n + "1]",))],
    "hmac_sha256": [("made", lambda n: (_text(n), "k")), ("made", lambda n: ("x", _text(n)))],
    "in_timezone": [("nothing", lambda n: (MOMENT, "UTC"))],
    "keys": [("made", lambda n: (_object(n),))],
    "merge": [("made", lambda n: (_object(n), {})), ("made", lambda n: ({}, _object(n)))],
    "parse_date": [("nothing", lambda n: (MOMENT,))],
    "pick": [("work", lambda n: (_object(n), "k1")), ("made", lambda n: (_rows(n), "a"))],
    "regex_findall": [("made", lambda n: (_text(n), "b")), ("made", lambda n: (_text(n), "x"))],
    "regex_replace": [("made", lambda n: (_text(n), "b", "c")), ("made", lambda n: ("b", "b", _text(n)))],
    "regex_search": [("made", lambda n: (_text(n), "x"))],
    "round_half_even": [("nothing", lambda n: (n + 0.5,))],
    "round_half_up": [("nothing", lambda n: (n + 0.5,))],
    "sha256": [("made", lambda n: (_text(n),))],
    "slug": [("made", lambda n: (_text(n),))],
    "sort_by": [("made", lambda n: (_rows(n), "a"))],
    "start_of": [("nothing", lambda n: (MOMENT, "day"))],
    "timestamp": [("nothing", lambda n: (MOMENT,))],
    "urldecode": [("made", lambda n: (_text(n),))],
    "values": [("made", lambda n: (_object(n),))],
    "where": [("made", lambda n: (_rows(n), "a", 1)), ("work", lambda n: ([{"t": _text(n)}], "t", _text(n)))],
    "without": [("made", lambda n: (_object(n), "x"))],
    "zip": [("made", lambda n: (_items(n), _items(n)))],
    "boolean": [("nothing", lambda n: (_items(n),))],
    "divisibleby": [("nothing", lambda n: (n, 2))],
    "endingwith": [("work", lambda n: (_text(n), _text(n)))],
    "eq": [
        ("work", lambda n: (_text(n), _text(n))),
        ("work", lambda n: (_rows(n), _rows(n))),
        ("work", lambda n: (_object(n), _object(n))),
        ("nothing", lambda n: (_text(n), _text(n + 1))),
    ],
    "even": [("nothing", lambda n: (n,))],
    "false": [("nothing", lambda n: (_items(n),))],
    "ge": [("work", lambda n: (_text(n), _text(n)))],
    "gt": [("work", lambda n: (_text(n), _text(n)))],
    "in": [
        ("work", lambda n: ("x", _text(n))),
        ("work", lambda n: (-1, _items(n))),
        ("work", lambda n: (_text(n), [_text(n)])),
        ("nothing", lambda n: ("x", _object(n))),
    ],
    "integer": [("nothing", lambda n: (n,))],
    "le": [("work", lambda n: (_text(n), _text(n)))],
    "lt": [("work", lambda n: (_text(n), _text(n)))],
    "mapping": [("nothing", lambda n: (_object(n),))],
    "ne": [("work", lambda n: (_items(n), _items(n)))],
    "none": [("nothing", lambda n: (_items(n),))],
    "number": [("nothing", lambda n: (_items(n),))],
    "odd": [("nothing", lambda n: (n,))],
    "sequence": [("nothing", lambda n: (_items(n),))],
    "startingwith": [("work", lambda n: (_text(n), _text(n)))],
    "true": [("nothing", lambda n: (_items(n),))],
}
ALSO = {"equalto": "eq", "chunk": "batch", "group_by": "groupby"}  # other names of the same function
OPERATORS: dict[str, Callable[..., Any]] = {
    "+": operators.add,
    "*": operators.multiply,
    "**": operators.power,
    "- / // %": operators.number,
    "~": operators.concat,
    "[:]": operators.cut,
    "[a, b]": operators.list_,
    "{}": operators.object_,
    "range": operators.range_,
    "== of texts": values.same,
}
FUNCTIONS: dict[str, Callable[..., Any]] = {**TESTS, **OPERATORS, **FILTERS, **LIST_FILTERS}
CASES = [
    pytest.param(name, grows, arguments, id=f"{name}-{grows}-{at}")
    for name, rows in TABLE.items()
    for at, (grows, arguments) in enumerate(rows)
]


def test_the_table_has_every_operator_filter_and_test() -> None:
    assert set(FUNCTIONS) - set(ALSO) == set(TABLE)
    assert all(FUNCTIONS[name] is FUNCTIONS[other] for name, other in ALSO.items())


@pytest.mark.parametrize(("name", "grows", "arguments"), CASES)
def test_what_is_twice_as_large_is_charged_twice(name: str, grows: str, arguments: Arguments) -> None:
    once, twice = _charged(name, arguments(1000)), _charged(name, arguments(2000))
    if grows == "nothing":
        assert twice == once
        assert twice.work < 100
        return
    assert once.work >= 500
    assert twice.work >= 1.8 * once.work
    if grows == "made":
        assert once.made >= 500
        assert twice.made >= 1.8 * once.made
        assert twice.memory >= 1.8 * once.memory
        assert once.memory >= 8 * once.made


def _charged(name: str, arguments: tuple[Any, ...]) -> Spent:
    values.refill()
    FUNCTIONS[name](*arguments)
    return spent()


def test_a_text_is_not_copied_for_each_time_that_it_is_read() -> None:
    big = "x" * 9_800_000
    source = "[" + "input.s, " * 240 + "]|length"
    assert expressions.evaluate(source, {"input": {"s": big}}) == 240
    assert expressions.evaluate("(input.s if input.s else 'y')|length", {"input": {"s": big}}) == 9_800_000
    assert expressions.evaluate("'y' not in input.s and not (input.s == 'y')", {"input": {"s": big}}) is True


def test_long_texts_stay_what_they_are_on_their_way_through_the_engine() -> None:
    names: dict[str, Any] = {"s": "word " * 500, "t": ["word " * 500]}
    assert expressions.evaluate("s", names) == expressions.evaluate("(s if true else 'x')", names) == names["s"]
    assert expressions.evaluate("[s]", names) == expressions.evaluate("[s, s][:1]", names) == names["t"]
    assert expressions.evaluate("s is string and s == t[0] and s in t and not s|trim in t", names) is True
    assert expressions.evaluate("{'a': s ~ '!'}", names) == {"a": names["s"] + "!"}
    assert expressions.evaluate("s|replace('word ', 'w')", names) == "w" * 500
    with pytest.raises(ExpressionError, match="/ needs numbers, not a text"):
        expressions.evaluate("s / 2", names)


def test_memory_is_refused_with_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    # On a busy machine the processor time would be over first.
    monkeypatch.setattr(values._budget, "cpu_milliseconds", 60_000)
    rows: list[Any] = [{"k": at} for at in range(200_000)]
    with pytest.raises(ExpressionError, match="may take 64 MB"):
        expressions.evaluate("rows|groupby('k')|length", {"rows": rows})


def _endless() -> dict[str, Any]:
    """Names for `rows|select('in', big)`, which would take minutes on any machine."""
    return {"big": "a" * 5_000_000, "rows": ["b" + "a" * 98] * 100_000}


def test_processor_time_is_refused_with_its_limit() -> None:
    names = _endless()
    with pytest.raises(ExpressionError, match=r"takes too long: it may take 2,000 ms of processor time"):
        expressions.evaluate("rows|select('in', big)|length", names)
    with (
        pytest.raises(ExpressionError, match=r"it may take 50 ms of processor time"),
        expressions.shared(cpu_milliseconds=50),
    ):
        expressions.evaluate("rows|select('in', big)|length", names)


def test_the_expressions_of_one_config_share_a_budget() -> None:
    names: dict[str, Any] = {"rows": list(range(90_000))}
    one = "{{ rows|map('string')|map('int')|sort|length }}"
    assert expressions.render(one, names) == 90_000
    with pytest.raises(ExpressionError, match="takes too"):
        expressions.Template({"a": [one] * 60}).render(names)
    with pytest.raises(ExpressionError, match="takes too"):
        expressions.render(one * 60, names)
    assert expressions.render(one, names) == 90_000, "the next config has a budget of its own"


def test_the_outermost_budget_counts() -> None:
    with expressions.shared(cpu_milliseconds=50):
        with expressions.shared(cpu_milliseconds=5_000):
            pass
        with pytest.raises(ExpressionError, match="50 ms"):
            expressions.evaluate("rows|select('in', big)|length", _endless())


def test_a_map_over_a_list_is_refused_while_it_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payload, "MAX_OUTPUT", 100_000)
    numbers = given(list(range(200_000)), word="a" * 1000)
    for source, item in (("word ~ item", 99), ("range(1000)|batch(500)", 99), ("[[item, word]]", 99)):
        with pytest.raises(Permanent, match=rf"more than 100,000 characters and values, with item {item} of 200000"):
            Transform().perform(TransformConfig(map={"x": source}), numbers)


def test_an_output_that_repeats_one_list_is_refused_before_it_is_taken_apart() -> None:
    rows: list[Any] = list(range(100_000))
    began = time.thread_time()
    for output in ([rows] * 200_000, {"a": {"b": [[rows] * 1000]}}, [{"a": rows}] * 1000):
        with pytest.raises(Permanent, match="is larger than 10,000,000 characters and values"):
            payload.clean(output)
    assert time.thread_time() - began < 5
    assert payload.size([rows] * 200_000) > payload.MAX_OUTPUT
    assert payload.size(["ab", {"c": [1, "d"]}]) == 9
