"""Lists that are to make work on them take time or memory without end, and items that are not what they seem."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from actions import payload, registry
from actions.base import ActionError
from tests.actions.contexts import context
from tests.hostile.case import Case

KIND = "work on lists"
_LIMIT = 12_000
_WHY = "One step's work on lists may take 10 s of processor time; making the list that it is given comes on top."
_MEGABYTES = 400
_MEMORY = "Keys may take 64 MB as they are counted, an output 10,000,000 values, and the list itself comes on top."
_SCALARS: list[Any] = [None, True, 0, 1.5, "", "a", [], [1], {}, {"a": 1}, {"a": None}, {"a": [{}]}, -0.0, 1e308]


def _numbers(count: int) -> list[Any]:
    return [number * 7919 % count for number in range(count)]


def _rows(count: int, *, groups: int = 1) -> list[Any]:
    return [{"k": number % groups, "n": number, "t": f"t{number}"} for number in range(count)]


def _long_rows(count: int) -> list[Any]:
    return [{**row, f"l{row['n']}": "x" * 500} for row in _rows(count)]


def _wide(count: int) -> list[Any]:
    return [{f"k{key}": key for key in range(count)}] * 1000


def _deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": [value]}
    return value


def _many(value: Any, count: int) -> Any:
    """The same object very often: it takes no memory here, and much wherever it is written out."""
    return [value] * count


def _attacked(name: str, config: dict[str, Any], given: Callable[[], Any]) -> str | None:
    action = registry.get(name)
    try:
        found = action.perform(action.config_class.model_validate(config), context(given()))
        payload.clean(found)
    except ActionError as error:
        return None if len(str(error)) < 2_000 else "was refused with a message of the values"
    return None


def _case(name: str, config: dict[str, Any], what: str, given: Callable[[], Any]) -> Case:
    attack = partial(_attacked, name, config, given)
    return Case(f"{name} {what}", KIND, attack, _LIMIT, _MEGABYTES, f"{_WHY} {_MEMORY}")


_SUM = {"fields": {"s": {"op": "sum", "path": "n"}}}
_ALL_OPS = {
    "fields": {
        op: {"op": op, "path": "n"}
        for op in ("count_unique", "sum", "average", "min", "max", "first", "last", "list", "list_unique", "join")
    }
}
_BIG: list[tuple[str, dict[str, Any], str, Callable[[], Any]]] = [
    ("sort", {}, "300,000 numbers", partial(_numbers, 300_000)),
    ("sort", {"as": "number"}, "50,000 decimals", partial(_numbers, 50_000)),
    ("sort", {"by": ["k"] * 50}, "by 50 keys", partial(_rows, 50_000)),
    ("sort", {"by": "t", "ignore_case": True}, "50,000 texts", partial(_rows, 50_000)),
    ("sort", {}, "texts that begin alike", lambda: ["a" * 90_000 + str(n) for n in range(100)]),
    ("sort", {"ignore_case": True}, "texts that grow in lower case", lambda: ["\u0390" * 9_000] * 1_000),
    ("sort", {"by": ".".join("a" * 500)}, "by a path of 500 parts", partial(_many, _deep(30), 100_000)),
    ("dedupe", {}, "700,000 numbers", partial(_numbers, 700_000)),
    ("dedupe", {}, "deep objects", partial(_many, _deep(30), 10_000)),
    ("dedupe", {"by": ["a"] * 50, "missing": "same"}, "by 50 paths", partial(_many, {"a": "x" * 100}, 9_000)),
    ("dedupe", {}, "wide objects", partial(_wide, 9_000)),
    ("dedupe", {}, "one long text very often", partial(_many, "x" * 1_000_000, 9_000)),
    ("aggregate", {**_SUM, "group_by": "n"}, "with a group for each item", partial(_rows, 150_000)),
    ("aggregate", {**_ALL_OPS, "group_by": "n"}, "with ten fields for each item", partial(_rows, 50_000)),
    ("aggregate", _ALL_OPS, "with ten fields of 50,000", partial(_rows, 50_000)),
    (
        "aggregate",
        {"fields": {"l": {"op": "list", "path": "b"}}},
        "a big object often",
        lambda: [{"b": _wide(99)}] * 999,
    ),
    (
        "aggregate",
        {"fields": {f"l{n}": {"op": "list", "path": "t"} for n in range(50)}},
        "50 lists of long texts",
        partial(_many, {"t": "x" * 1000}, 9_000),
    ),
    (
        "aggregate",
        {"fields": {"j": {"op": "join", "path": "n", "separator": "-" * 1000}}},
        "with a long separator",
        partial(_rows, 100_000),
    ),
    ("aggregate", _SUM, "numbers with many digits", partial(_many, {"n": "9" * 50}, 100_000)),
    ("aggregate", _SUM, "numbers from 1e50 to 1e-50", lambda: [{"n": 1e49}, {"n": 1e-49}, {"n": 1e308}]),
    ("split", {"path": "l"}, "the same list very often", partial(_many, {"l": ["x" * 100] * 10_000}, 10_000)),
    ("split", {"path": "l", "include": "all"}, "wide items", lambda: [{**_wide(9_000)[0], "l": list(range(9_999))}]),
    (
        "split",
        {"path": "l", "as": "x", "include": ["b"]},
        "long fields",
        lambda: [{"b": "x" * 90_000, "l": [1] * 9999}],
    ),
    ("split", {"path": "l", "missing": "keep", "as": "x"}, "nothing very often", partial(_many, {}, 100_000)),
    ("merge", {}, "twenty lists of a big object", lambda: [_many(_wide(99)[0], 100_000)] * 20),
    (
        "merge",
        {"mode": "by_key", "by": "k"},
        "5,000 with 5,000 of one key",
        lambda: [_long_rows(5_000), _long_rows(5_000)],
    ),
    ("merge", {"mode": "by_key", "by": "k"}, "ten lists of one key", lambda: [_long_rows(20)] * 10),
    (
        "merge",
        {"mode": "by_key", "by": "n", "keep": "unmatched"},
        "where everything matches",
        lambda: [_rows(30_000), _rows(30_000)],
    ),
    ("merge", {"mode": "by_position"}, "wide items", lambda: [_wide(9_000)[:50], _wide(9_000)[:50]]),
    ("merge", {"mode": "by_key", "by": ["n"] * 50}, "with a key of 50 paths", lambda: [_rows(9_999), _rows(9_999)]),
    ("filter", {"where": "item in input"}, "that looks at the whole list for each", partial(_numbers, 3_000)),
    ("filter", {"where": "input|sort|length"}, "that sorts the list for each", partial(_numbers, 100_000)),
    ("filter", {"where": "item.t ~ item.t"}, "20,000 texts", partial(_rows, 20_000)),
    ("filter", {"where": "[item] * 3000"}, "that makes lists", partial(_rows, 2_000)),
    ("filter", {"where": "x", "missing": "drop"}, "without the key", partial(_many, {}, 20_000)),
    ("filter", {"where": "(item.x).y", "missing": "keep"}, "wide items", lambda: _wide(9_000)[:300]),
    ("filter", {"where": "t|regex_search('(a*)*b')"}, "with a pattern", partial(_many, {"t": "a" * 999}, 999)),
]
# Each action with each kind of item, to be refused or handled whatever it is.
_CONFIGS: dict[str, dict[str, Any]] = {
    "filter": {"where": "item.a"},
    "sort": {"by": "a"},
    "dedupe": {"by": "a"},
    "aggregate": {"fields": {"s": {"op": "max", "path": "a"}}, "group_by": "a.b"},
    "split": {"path": "a", "include": "all"},
    "merge": {"mode": "by_key", "by": "a"},
}


def _each_kind(name: str, item: Any) -> Callable[[], Any]:
    return lambda: [[item, item], [item]] if name == "merge" else [item, item, {"a": 2}]


CASES = [
    *(_case(*one) for one in _BIG),
    *(
        _case(name, config, f"item {number}, {payload.dumps(item)}", _each_kind(name, item))
        for name, config in _CONFIGS.items()
        for number, item in enumerate(_SCALARS)
    ),
]
