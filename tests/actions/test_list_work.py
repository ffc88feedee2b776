"""The actions that work on lists, each by what it answers and by what it says of a list that does not fit."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from actions import payload, registry
from actions.base import Json, Permanent
from tests.actions import contexts


def perform(name: str, config: dict[str, Any], given: Any = None) -> Any:
    return contexts.perform(name, config, given)


LIST_ACTIONS = ("aggregate", "dedupe", "filter", "merge", "sort", "split")
PEOPLE: list[Json] = [{"name": "Ada", "age": 36}, {"name": "tim", "age": 7}, {"name": "Bo", "age": 36.0}]
ORDERS: list[Json] = [
    {"id": 7, "at": {"zip": "89073"}, "lines": [{"sku": "a"}, {"sku": "b"}]},
    {"id": 8, "at": {"zip": "10115"}, "lines": []},
]


@pytest.mark.parametrize("name", LIST_ACTIONS)
def test_each_example_of_a_list_action_gives_what_it_says(name: str) -> None:
    examples = registry.get(name).examples
    assert examples
    for example in examples:
        assert perform(name, example.config, example.input) == example.output, example.title


@pytest.mark.parametrize(
    ("name", "config", "given", "output"),
    [
        ("filter", {"where": "item.age > 10"}, PEOPLE, [PEOPLE[0], PEOPLE[2]]),
        ("filter", {"where": "{{ index == 1 }}"}, PEOPLE, [PEOPLE[1]]),
        ("filter", {"where": "item"}, [0, 1, "", "a", None, []], [1, "a"]),
        ("filter", {"where": True}, PEOPLE, PEOPLE),
        ("filter", {"where": "item.x", "missing": "keep"}, [{"x": False}, {}], [{}]),
        ("filter", {"where": "item.x > 1", "missing": "drop"}, [{"x": 2}, {}], [{"x": 2}]),
        ("sort", {"by": "age"}, PEOPLE, [PEOPLE[1], PEOPLE[0], PEOPLE[2]]),
        ("sort", {"by": "age", "order": "desc"}, PEOPLE, [PEOPLE[0], PEOPLE[2], PEOPLE[1]]),
        ("sort", {"by": "name"}, PEOPLE, [PEOPLE[0], PEOPLE[2], PEOPLE[1]]),
        ("sort", {"by": ["age", {"path": "name", "order": "desc"}]}, PEOPLE, [PEOPLE[1], PEOPLE[2], PEOPLE[0]]),
        ("sort", {"by": "name", "ignore_case": True, "order": "desc"}, PEOPLE, [PEOPLE[1], PEOPLE[2], PEOPLE[0]]),
        ("sort", {}, [3, 1.5, -2], [-2, 1.5, 3]),
        ("sort", {"as": "number"}, ["10.50", "9.5", 9.25, "9.50"], [9.25, "9.5", "9.50", "10.50"]),
        ("sort", {"as": "text"}, ["b", 10, 9, True], [10, 9, "b", True]),
        ("sort", {"as": "number"}, [9007199254740993, "9007199254740992"], ["9007199254740992", 9007199254740993]),
        ("sort", {"by": "n", "missing": "last"}, [{}, {"n": 2}, {"n": None}, {"n": 1}], None),
        ("dedupe", {}, [1, 1.0, "1", True, None, None, {"a": 1, "b": 2}, {"b": 2.0, "a": 1}], None),
        ("dedupe", {"by": ["age"]}, PEOPLE, PEOPLE[:2]),
        ("dedupe", {"by": "age", "keep": "last"}, PEOPLE, PEOPLE[1:]),
        ("dedupe", {"by": "x", "missing": "same"}, [{"n": 1}, {"n": 2}, {"x": None}], [{"n": 1}, {"x": None}]),
        ("dedupe", {"by": "x", "missing": "keep"}, [{"n": 1}, {"n": 2}], [{"n": 1}, {"n": 2}]),
        ("split", {"path": "lines"}, ORDERS, [{"sku": "a"}, {"sku": "b"}]),
        ("split", {"path": "lines"}, ORDERS[0], [{"sku": "a"}, {"sku": "b"}]),
        ("split", {"path": "a.b", "include": "all"}, [{"a": {"b": [1], "c": 2}}], [{"a": {"c": 2}, "b": 1}]),
        ("split", {"path": "a.b", "include": "all"}, [{"a.b": [1, 2], "c": 3}], None),
        ("split", {"path": "lines", "missing": "keep", "as": "l"}, [{"lines": None}, {}], [{"l": None}, {"l": None}]),
        ("split", {"path": "x", "missing": "skip"}, [{"x": [[1]]}, {}], [[1]]),
        ("merge", {}, {"a": [1], "b": [2, 3]}, [1, 2, 3]),
        ("merge", {"mode": "by_position", "lists": [[{"a": 1}], [{"b": 2}]]}, None, [{"a": 1, "b": 2}]),
        ("merge", {"mode": "by_position", "keep": "matches", "lists": [[{"a": 1}, {"a": 2}], [{}]]}, None, [{"a": 1}]),
        (
            "merge",
            {"mode": "by_position", "keep": "unmatched", "lists": [[{"a": 1}, {"a": 2}], [{}]]},
            None,
            [{"a": 2}],
        ),
    ],
)
def test_list_action_gives(name: str, config: dict[str, Any], given: Json, output: Json) -> None:
    special: dict[tuple[str, str], Json] = {
        ("sort", "n"): [{"n": 1}, {"n": 2}, {}, {"n": None}],
        ("dedupe", ""): [1, "1", True, None, {"a": 1, "b": 2}],
        ("split", "a.b"): [{"c": 3, "b": 1}, {"c": 3, "b": 2}],
    }
    wanted = output if output is not None else special[name, str(config.get("by") or config.get("path") or "")]
    found = perform(name, config, given)
    assert found == wanted
    # true and 1 are equal to Python.
    assert payload.dumps(found) == payload.dumps(wanted)


def test_items_are_read_from_a_field_and_missing_ones_go_to_the_end_in_both_orders() -> None:
    rows: Json = [{"n": None}, {"n": 1}, {}, {"n": 2}]
    down = perform("sort", {"items": "{{ rows }}", "by": "n", "order": "desc", "missing": "last"}, {"rows": rows})
    assert down == [{"n": 2}, {"n": 1}, {"n": None}, {}]
    up = perform("sort", {"items": "{{ input.rows }}", "by": "n", "missing": "first"}, {"rows": rows})
    assert up == [{"n": None}, {}, {"n": 1}, {"n": 2}]


def test_sums_are_exact_and_keep_their_type() -> None:
    fields = {
        op: {"op": op, "path": "n"}
        for op in ("count", "count_unique", "sum", "average", "min", "max", "first", "last", "list", "list_unique")
    }
    rows: list[Json] = [{"n": 0.1}, {"n": 0.2}, {"n": None}, {"n": 0.1}]
    assert perform("aggregate", {"fields": fields}, rows) == {
        "count": 3,
        "count_unique": 2,
        "sum": 0.4,
        "average": 0.4 / 3,
        "min": 0.1,
        "max": 0.2,
        "first": 0.1,
        "last": 0.1,
        "list": [0.1, 0.2, None, 0.1],
        "list_unique": [0.1, 0.2],
    }
    two: dict[str, Any] = {"sum": {"op": "sum", "path": "n"}, "average": {"op": "average", "path": "n"}}
    texts = perform("aggregate", {"fields": two}, [{"n": "19.99"}, {"n": 1}, {"n": "0.010"}])
    assert texts == {"sum": "21.000", "average": "7.00"}
    whole = perform("aggregate", {"fields": two}, [{"n": 2**62}, {"n": 2**62 - 1}])
    assert whole["sum"] == 2**63 - 1
    assert isinstance(whole["sum"], int)
    assert perform("aggregate", {"fields": two}, []) == {"sum": 0, "average": None}
    assert perform("aggregate", {"fields": two, "group_by": "x"}, []) == []
    rounded = {"a": {"op": "average", "path": "n", "digits": 0}}
    assert perform("aggregate", {"fields": rounded}, [{"n": "1"}, {"n": "2"}]) == {"a": "2"}
    joined = {"a": {"op": "join", "path": "n", "separator": "-"}}
    assert perform("aggregate", {"fields": joined}, [{"n": 1}, {"n": "b"}, {"n": True}]) == {"a": "1-b-true"}


def test_groups_come_in_order_and_distinguish_values_by_type() -> None:
    rows: list[Json] = [{"k": 1}, {"k": "1"}, {"k": 1.0}, {"k": None}, {"k": [1]}, {}]
    config = {"group_by": "k", "fields": {"n": {"op": "count"}}, "missing": "ignore"}
    assert perform("aggregate", config, rows) == [
        {"k": 1, "n": 2},
        {"k": "1", "n": 1},
        {"k": None, "n": 2},
        {"k": [1], "n": 1},
    ]


@pytest.mark.parametrize(
    ("keep", "found"),
    [
        ("matches", [{"id": 1, "a": 1, "b": 1}, {"id": 1, "a": 1, "b": 2}, {"id": 1, "a": 3, "b": 1}, None]),
        ("first", [{"id": 1, "a": 1, "b": 1}, {"id": 1, "a": 1, "b": 2}, {"id": 2, "a": 2}, None, None]),
        ("all", [None, None, {"id": 2, "a": 2}, None, None, {"id": 3, "b": 3}]),
        ("unmatched", [{"id": 2, "a": 2}, {"id": 3, "b": 3}]),
    ],
)
def test_merge_by_key_keeps_what_it_is_told_in_the_order_of_the_first_list(keep: str, found: list[Any]) -> None:
    lists: Json = [
        [{"id": 1, "a": 1}, {"id": 2, "a": 2}, {"id": 1, "a": 3}],
        [{"id": 1.0, "b": 1}, {"id": 3, "b": 3}, {"id": 1, "b": 2}],
    ]
    config = {"mode": "by_key", "by": "id", "keep": keep, "clash": "fail", "lists": "{{ input.lists }}"}
    merged = perform("merge", config, {"lists": lists})
    assert isinstance(merged, list)
    assert len(merged) == len(found)
    assert all(want is None or got == want for got, want in zip(merged, found, strict=True)), merged


def test_keys_that_are_null_match_nothing() -> None:
    lists: Json = [[{"id": None, "a": 1}], [{"id": None, "b": 1}, {"b": 2}]]
    config: dict[str, Any] = {"mode": "by_key", "by": "id", "lists": lists, "missing": "unmatched"}
    assert perform("merge", config) == []
    assert perform("merge", {**config, "keep": "all"}) == [{"id": None, "a": 1}, {"id": None, "b": 1}, {"b": 2}]


@pytest.mark.parametrize(
    ("name", "config", "given", "said"),
    [
        ("filter", {"where": "item.age"}, [{"age": 1}, {"a": 2}], "input[1]: expression `item.age`"),
        ("filter", {"where": "item.a < 'x'"}, [{"a": 2}], "input[0]: expression"),
        ("filter", {"where": "true"}, {"rows": []}, "input must be a list, but has the keys rows; write items:"),
        ("filter", {"where": "true", "items": "{{ input.a }}"}, {"a": 5}, "items must be a list, but is a number"),
        ("sort", {"by": "a.b"}, [{"a": {"b": 1}}, {"a": {}}], "input[1].a.b is missing: the item has the keys a"),
        ("sort", {"by": "a"}, [{"a": None}], "input[0].a is null, which has no order"),
        ("sort", {"by": "a"}, [{"a": 1}, {"a": "x"}], "cannot order input[1].a, a text, and input[0].a"),
        ("sort", {"by": "a"}, [{"a": True}], "cannot order input[0].a: it is a boolean, which has no order"),
        ("sort", {"by": "a", "as": "number"}, [{"a": "12 EUR"}], "cannot order input[0].a: it number needs a decimal"),
        ("dedupe", {"by": "a"}, [{"a": 1}, {}], "input[1].a is missing: the item is an empty object"),
        ("split", {"path": "a"}, [{"a": 5}], "input[0].a must be a list, but is a number"),
        ("split", {"path": "a"}, [{"a": None}], "input[0].a is null, not a list"),
        ("split", {"path": "a", "include": ["b"]}, [{"a": [1]}], "input[0].b is missing"),
        ("split", {"path": "a.b", "include": "all"}, [{"a": {"b": [1]}, "b": 2}], "has a field 'b' already"),
        ("split", {"path": "0", "include": "all"}, [[[1]]], "input[0] must be an object"),
        (
            "aggregate",
            {"fields": {"n": {"op": "sum", "path": "n"}}},
            [{"n": 1}, {"n": "x"}],
            "cannot add input[1].n: sum needs a decimal",
        ),
        ("aggregate", {"fields": {"n": {"op": "sum", "path": "n"}}}, [{"n": 2**62}] * 2, "a number beyond 64 bits"),
        ("aggregate", {"fields": {"n": {"op": "join", "path": "n"}}}, [{"n": []}], "cannot join input[0].n, a list"),
        ("aggregate", {"fields": {"n": {"op": "count"}}, "group_by": "k"}, [{}], "input[0].k is missing"),
        ("merge", {}, [[1]], "input must have 2 to 20 lists, but is a list of 1 items"),
        ("merge", {}, {"a": [1], "b": 2}, "input.b must be a list, but is a number"),
        ("merge", {"mode": "by_key", "by": "id"}, [[{"id": 1}], [{"x": 1}]], "input[1][0].id is missing"),
        ("merge", {"mode": "by_key", "by": "id"}, [[{"id": 1}], [5]], "input[1][0] must be an object, but is a number"),
        ("merge", {"mode": "by_key", "by": [["a", "b", "c"]]}, [[{}], [{}]], "has 3 paths for one key"),
        ("merge", {"mode": "by_position"}, [[{}], []], "different lengths (input[0] 1, input[1] 0)"),
        (
            "merge",
            {"mode": "by_position", "clash": "fail"},
            [[{"a": 1}], [{"a": 2}]],
            "input[1][0] has another 'a' than an item before it",
        ),
    ],
)
def test_an_item_that_does_not_fit_is_named_with_its_path(
    name: str, config: dict[str, Any], given: Json, said: str
) -> None:
    with pytest.raises(Permanent) as failure:
        perform(name, config, given)
    assert said in str(failure.value)


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("sort", {"by": []}),
        ("sort", {"by": [{"path": "a", "order": "up"}]}),
        ("sort", {"by": ""}),
        ("dedupe", {"keep": "both"}),
        ("split", {"path": "a", "include": "some"}),
        ("split", {"path": "a.b", "include": ["c.b"]}),
        ("aggregate", {"fields": {}}),
        ("aggregate", {"fields": {"a": {"op": "sum"}}}),
        ("aggregate", {"fields": {"k": {"op": "count"}}, "group_by": ["x.k"]}),
        ("merge", {"mode": "by_key"}),
        ("merge", {"by": "id"}),
        ("merge", {"keep": "all"}),
        ("filter", {}),
    ],
)
def test_a_config_of_list_work_that_makes_no_sense_is_refused(name: str, config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        perform(name, config, [])
