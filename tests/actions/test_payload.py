"""What may come in as JSON, and what an action's output is made into."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actions import payload
from actions.base import Permanent
from actions.payload import PayloadError


@pytest.mark.parametrize(
    ("text", "path", "said"),
    [
        ('{"steps":[{"with":{"url":"a\\u0000"}}]}', "steps[0].with.url", "NUL"),
        ('{"a":"\\ud800"}', "a", "surrogate"),
        ('{"a\\u0000b":1}', "", "has a key that"),
        ('{"a":[1,NaN]}', "a[1]", "no finite number"),
        ('{"a":-Infinity}', "a", "no finite number"),
        ('{"a":1e400}', "a", "no finite number"),
        ('{"a b":{"c":9223372036854775808}}', '["a b"].c', "beyond 64 bits"),
        ("1" * 10_000, "", "beyond 64 bits"),
        ('{"a":{"b":1,"b":2}}', "a", "has the key 'b' twice"),
        ('{"a":"\\"","a":"\\u0022"}', "", "has the key 'a' twice"),
        ('{"a":1,"a":"\\\\\\""}', "", "has the key 'a' twice"),
        ('{"a":1,"a":"\\u005c\\""}', "", "has the key 'a' twice"),
        ('{"a":-9223372036854775809}', "a", "beyond 64 bits"),
        ('{"a":18446744073709551616}', "a", "beyond 64 bits"),
        ('{"id": 12345678901234567890123, "rate": 1.2345678901234567e-5}', "id", "beyond 64 bits"),
        ('{"id": 12345678901234567890123, "key": "1234567890123456789"}', "id", "beyond 64 bits"),
        ('{"id": 12345678901234567890123, "key": "\\"1234567890123456789"}', "id", "beyond 64 bits"),
        ("[" * 10_000, "", "nested deeper than 64"),
        ("[" * 10_000 + "]" * 10_000, "", "nested deeper than 64"),
        ('{"a":' * 10_000, "", "nested deeper than 64"),
        ('{"a":', "", "at line 1 column 6"),
        ("", "", "is not JSON"),
        ("{'a': 1}", "", "is not JSON"),
        ('{"a": 1,}', "", "is not JSON"),
    ],
)
def test_json_that_cannot_be_stored_is_refused_with_its_path(text: str, path: str, said: str) -> None:
    for data in (text, text.encode()):
        with pytest.raises(PayloadError) as failure:
            payload.loads(data)
        assert failure.value.path == path
        assert said in str(failure.value)


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(PayloadError, match="is not UTF-8"):
        payload.loads(b'{"a": "\xff"}')


def test_good_json_is_read_as_it_is() -> None:
    assert payload.loads('{"a":[1,-9223372036854775808,1.5,true,null,"[[é😀"]}') == {
        "a": [1, -(2**63), 1.5, True, None, "[[é😀"]
    }
    assert payload.loads("[" * 64 + "]" * 64) is not None
    assert payload.loads(b"\xef\xbb\xbf{}") == {}


_DIGITS = st.text("0123456789", min_size=17, max_size=40)
_TEXTS = _DIGITS | st.builds("{}{}".format, st.sampled_from([":", ",", "[", "-", '"', "\\", "a"]), _DIGITS)
_LEAVES = _TEXTS | st.integers(-(2**66), 2**66) | st.floats(allow_nan=False, allow_infinity=False) | st.booleans()
_VALUES = st.recursive(_LEAVES, lambda below: st.lists(below, max_size=4) | st.dictionaries(_TEXTS, below, max_size=4))


@given(_VALUES, st.sampled_from([None, 1]), st.booleans())
def test_long_rows_of_digits_are_read_as_they_are_in_texts_and_refused_in_numbers(
    value: Any, indent: int | None, ascii_only: bool
) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    try:
        payload.check(value)
    except PayloadError:
        with pytest.raises(PayloadError):
            payload.loads(text)
    else:
        assert payload.loads(text) == value


@pytest.mark.parametrize("text", ['{"key": "1234-1769000000000000000-7"}', '["12345678901234567890123", 1.5, -7]'])
def test_texts_of_many_digits_need_no_closer_look(text: str) -> None:
    assert payload._quick_loads(text.encode(), max_depth=64) == json.loads(text)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"a": [1, {2}]}, "with.a[1]"),
        ({"a": math.nan}, "with.a"),
        ({"a": {"b": 2**63}}, "with.a.b"),
        ({1: 2}, "with"),
        ({"a": "\x00"}, "with.a"),
    ],
)
def test_parsed_value_is_held_to_the_same_rules(value: Any, path: str) -> None:
    with pytest.raises(PayloadError) as failure:
        payload.check(value, path="with")
    assert failure.value.path == path


def test_output_is_mended_where_it_can_be() -> None:
    given: Any = {"a\x00": ("x\x00", "y\ud800", 1, None), "b": [(), {}]}
    assert payload.clean(given) == {"a\ufffd": ["x\ufffd", "y\ufffd", 1, None], "b": [[], {}]}


@pytest.mark.parametrize("value", [math.nan, math.inf, {1}, 2**64, b"x", {1: 2}, object(), {"a": [1, {"b": 1j}]}])
def test_output_that_is_not_json_fails_for_good(value: Any) -> None:
    with pytest.raises(Permanent, match="output"):
        payload.clean(value)


def test_output_too_deep_or_too_large_fails_for_good() -> None:
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(Permanent, match="nested deeper"):
        payload.clean(deep)
    doubled: Any = ["x" * 1000]
    for _ in range(40):
        doubled = [doubled, doubled]
    with pytest.raises(Permanent, match=r"nested deeper|is larger than"):
        payload.clean(doubled)
    while isinstance(deep, list):  # take it apart by hand: freeing it would recurse
        deep = deep.pop()


def test_a_path_is_written_only_for_what_is_wrong_and_each_part_of_it_is_cut(peak: Callable[[], int]) -> None:
    value: Any = {"A" * 100_000: {"b c" * 50_000: [*[0] * 2_000, "\x00"]}}
    with pytest.raises(PayloadError) as failure:
        payload.check(value)
    with pytest.raises(Permanent, match="output") as refused:
        payload.clean({"A" * 100_000: [*[0] * 2_000, math.nan]})
    assert failure.value.path == f'{"A" * 40}...["{("b c" * 14)[:40]}"][2000]'
    assert str(refused.value).startswith(f"output.{'A' * 40}...[2000] is no finite number")
    assert peak() < 5_000_000


@pytest.mark.parametrize(
    "text",
    [
        "[" + "0," * 1_000_000 + "0]",
        "[" + '"",' * 1_000_000 + "0]",
        "[" + "{}," * 500_001 + "0]",
        "{" + ",".join(f'"{n}":0' for n in range(500_001)) + "}",
        "[" + '"\\\\",' * 1_000_000 + "0]",
    ],
    ids=["numbers", "texts", "objects", "keys", "backslashes"],
)
def test_a_text_with_too_many_values_is_refused_before_it_is_parsed(text: str) -> None:
    with pytest.raises(PayloadError, match="more than 1,000,000 keys and values"):
        payload.loads(text.encode())


@pytest.mark.parametrize(
    "text", [",:[{" * 2_000_000, '\\",' * 1_000_000, "a,b\n" * 1_000_000], ids=["marks", "quotes", "csv"]
)
def test_commas_in_a_text_are_not_counted_as_values(text: str) -> None:
    assert payload.loads(json.dumps([text])) == [text]
