"""What each filter and test does, with an example: the tables of docs/expressions.md, which tests evaluate."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import orjson

from actions.base import Json
from actions.expressions.filters import FILTERS, LIST_FILTERS
from actions.expressions.values import TESTS


class Entry(NamedTuple):
    """What a filter or test does; an expression that shows it, and the value of that."""

    does: str
    example: str
    gives: Json


SECTIONS: dict[str, dict[str, Entry]] = {
    "Texts": {
        "capitalize": Entry("the first letter large, the others small", "'hello World'|capitalize", "Hello world"),
        "format": Entry("each `{}` replaced by an argument", "'{} of {}'|format(2, 5)", "2 of 5"),
        "indent": Entry("each line but the first indented", "'a\\nb'|indent(2)", "a\n  b"),
        "lower": Entry("in small letters", "'Ada'|lower", "ada"),
        "upper": Entry("in capital letters", "'Ada'|upper", "ADA"),
        "title": Entry("each word with a capital letter", "'ada lovelace'|title", "Ada Lovelace"),
        "trim": Entry("without spaces at both ends", "'  x '|trim", "x"),
        "replace": Entry("each occurrence of a text replaced", "'a-b-c'|replace('-', '/')", "a/b/c"),
        "split": Entry("the parts between separators, or between spaces", "'a, b'|split(', ')", ["a", "b"]),
        "string": Entry("a text as it is, anything else as JSON", "12|string", "12"),
        "slug": Entry(
            "a part of a URL: ASCII letters without accents, digits, and a separator between words",
            "'Crème brûlée, 2 kg'|slug",
            "creme-brulee-2-kg",
        ),
        "regex_search": Entry(
            "the first match: its text, its only group, or the list of its groups; null without a match",
            "'order 4711 of Ada'|regex_search('order (\\\\d+)')",
            "4711",
        ),
        "regex_findall": Entry(
            "all matches, each as in `regex_search`", "'a1 b22'|regex_findall('b?([0-9]+)')", ["1", "22"]
        ),
        "regex_replace": Entry(
            "each match replaced; `\\\\1` to `\\\\9` are its groups, `\\\\0` is the match",
            "'2026-03-01'|regex_replace('(\\\\d+)-(\\\\d+)-(\\\\d+)', '\\\\3.\\\\2.\\\\1')",
            "01.03.2026",
        ),
    },
    "Numbers": {
        "abs": Entry("without its sign", "(2 - 5)|abs", 3),
        "int": Entry("a whole number from a number or a text; what is behind the point is cut off", "'42.9'|int", 42),
        "float": Entry("a number from a text", "'2.5'|float", 2.5),
        "round": Entry("rounded to so many digits, a half to the even neighbour, in binary", "2.345|round(1)", 2.3),
        "round_half_even": Entry(
            "rounded to so many digits behind the point, a half to the even neighbour", "2.665|round_half_even(2)", 2.66
        ),
        "round_half_up": Entry(
            "rounded to so many digits behind the point, a half away from zero", "2.665|round_half_up(2)", 2.67
        ),
        "format_number": Entry(
            "written with so many digits behind the point, and groups of thousands",
            "1234567.891|format_number(2, '.', ',')",
            "1.234.567,89",
        ),
    },
    "Money and other exact decimals": {
        "decimal_add": Entry("the sum", "'0.10'|decimal_add('0.20')", "0.30"),
        "decimal_subtract": Entry("the difference", "'20'|decimal_subtract('0.01')", "19.99"),
        "decimal_multiply": Entry("the product, exactly", "'19.99'|decimal_multiply(3)", "59.97"),
        "decimal_divide": Entry("the quotient, rounded", "'10'|decimal_divide(3)", "3.33"),
        "decimal_round": Entry(
            "rounded to so many digits behind the point, `half_even` or `half_up`",
            "'2.665'|decimal_round(2, 'half_up')",
            "2.67",
        ),
        "decimal_sum": Entry(
            "the sum of a list, or of what is at a path of its items",
            "[{'price': '0.10'}, {'price': '0.20'}]|decimal_sum('price')",
            "0.30",
        ),
        "decimal_compare": Entry("-1, 0 or 1 for less, equal or more", "'1.10'|decimal_compare('1.1')", 0),
    },
    "Dates and times": {
        "parse_date": Entry(
            "a moment in UTC, from ISO 8601 or from the form that a format of strftime says",
            "'01.03.2026 09:00'|parse_date('%d.%m.%Y %H:%M', 'Europe/Berlin')",
            "2026-03-01T08:00:00Z",
        ),
        "format_date": Entry(
            "a moment in the form of strftime, in a zone",
            "'2026-03-01T23:30:00Z'|format_date('%d.%m.%Y %H:%M', 'Europe/Berlin')",
            "02.03.2026 00:30",
        ),
        "add_time": Entry(
            "so much later; years, months, weeks and days as the zone's calendar counts them",
            "'2026-01-31T12:00:00Z'|add_time(months=1, hours=2)",
            "2026-02-28T14:00:00Z",
        ),
        "date_diff": Entry(
            "how much later than another moment, in seconds, minutes, hours, days or weeks",
            "'2026-03-02T12:00:00Z'|date_diff('2026-03-01T00:00:00Z', 'days')",
            1.5,
        ),
        "in_timezone": Entry(
            "with the offset of a zone",
            "'2026-07-01T08:00:00Z'|in_timezone('Europe/Berlin')",
            "2026-07-01T10:00:00+02:00",
        ),
        "start_of": Entry(
            "when its hour, day, week (Monday), month or year began in a zone",
            "'2026-03-01T23:30:00Z'|start_of('day', 'Europe/Berlin')",
            "2026-03-01T23:00:00Z",
        ),
        "timestamp": Entry("seconds since 1970", "'2026-03-01T00:00:00Z'|timestamp", 1772323200),
        "from_timestamp": Entry("the moment of such seconds", "1772323200|from_timestamp", "2026-03-01T00:00:00Z"),
    },
    "Encodings": {
        "tojson": Entry("as JSON text", "{'a': [1, none]}|tojson", '{"a":[1,null]}'),
        "fromjson": Entry("the value of a JSON text", "'[1, 2]'|fromjson", [1, 2]),
        "base64_encode": Entry("a text, as UTF-8, in base64", "'user:pass'|base64_encode", "dXNlcjpwYXNz"),
        "base64_decode": Entry("the UTF-8 text that is in base64", "'dXNlcjpwYXNz'|base64_decode", "user:pass"),
        "base64url_encode": Entry("in base64 for URLs, without padding", "'a?~'|base64url_encode", "YT9-"),
        "base64url_decode": Entry("the text that is in base64 for URLs", "'YT9-'|base64url_decode", "a?~"),
        "sha256": Entry(
            "SHA-256 in `hex`, `base64` or `base64url`",
            "'abc'|sha256",
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ),
        "hmac_sha256": Entry(
            "HMAC-SHA-256 under a key, in `hex`, `base64` or `base64url`",
            "'payload'|hmac_sha256('key', 'base64')",
            "XZi0XJCiB/qZjOY5/qbwLsyMw/Nv74HWlPuFa00KKMo=",
        ),
        "urlencode": Entry("for a part of a URL", "'a b/c'|urlencode", "a%20b%2Fc"),
        "urldecode": Entry("%XX decoded", "'a%20b%2Fc'|urldecode", "a b/c"),
    },
    "Lists": {
        "length": Entry("how many items, keys or characters", "[1, 2, 3]|length", 3),
        "count": Entry("the same", "'abc'|count", 3),
        "first": Entry("the first item or character", "[1, 2]|first", 1),
        "last": Entry("the last one", "[1, 2]|last", 2),
        "join": Entry("the items as one text", "[1, 2]|join(', ')", "1, 2"),
        "list": Entry("the keys of an object, or the characters of a text", "{'a': 1}|list", ["a"]),
        "reverse": Entry("the other way round", "[1, 2]|reverse", [2, 1]),
        "sort": Entry("in order", "[3, 1]|sort", [1, 3]),
        "sort_by": Entry(
            "in the order of what is at a path", "[{'n': 2}, {'n': 1}]|sort_by('n')", [{"n": 1}, {"n": 2}]
        ),
        "unique": Entry("without repetitions, or with one item for each value at a path", "[1, 2, 1]|unique", [1, 2]),
        "sum": Entry("the sum, or that of what is at a path", "[{'n': 2}, {'n': 3}]|sum('n')", 5),
        "min": Entry("the least, null of an empty list", "[3, 1]|min", 1),
        "max": Entry("the greatest", "[3, 1]|max", 3),
        "map": Entry(
            "a filter applied to each item, or with `attribute` what is at a path of each",
            "['a', 'b']|map('upper')",
            ["A", "B"],
        ),
        "select": Entry("the items that pass a test", "[1, 2, 3]|select('odd')", [1, 3]),
        "reject": Entry("those that do not", "[1, 2, 3]|reject('odd')", [2]),
        "selectattr": Entry(
            "the items whose value at a path passes a test", "[{'n': 1}, {'n': 2}]|selectattr('n', 'gt', 1)", [{"n": 2}]
        ),
        "rejectattr": Entry("those whose value does not", "[{'n': 1}, {'n': 2}]|rejectattr('n', 'gt', 1)", [{"n": 1}]),
        "where": Entry(
            "the items whose value at a path is this one",
            "[{'s': 'paid', 'n': 1}, {'s': 'open', 'n': 2}]|where('s', 'paid')",
            [{"s": "paid", "n": 1}],
        ),
        "groupby": Entry(
            "groups of the items by what is at a path",
            "[{'s': 'a', 'n': 1}, {'s': 'a', 'n': 2}]|groupby('s')|map(attribute='key')",
            ["a"],
        ),
        "group_by": Entry("the same", "[{'s': 'a'}]|group_by('s')", [{"key": "a", "items": [{"s": "a"}]}]),
        "batch": Entry("lists of so many items each", "[1, 2, 3]|batch(2)", [[1, 2], [3]]),
        "chunk": Entry("the same", "[1, 2, 3]|chunk(2)", [[1, 2], [3]]),
        "zip": Entry("pairs of the items of two lists of one length", "[1, 2]|zip(['a', 'b'])", [[1, "a"], [2, "b"]]),
        "flatten": Entry("with the items of its lists, so many levels deep", "[1, [2, [3]]]|flatten", [1, 2, [3]]),
    },
    "Objects": {
        "items": Entry("pairs of key and value", "{'a': 1}|items", [["a", 1]]),
        "from_items": Entry("an object from pairs", "[['a', 1]]|from_items", {"a": 1}),
        "keys": Entry("the keys", "{'a': 1}|keys", ["a"]),
        "values": Entry("the values", "{'a': 1}|values", [1]),
        "pick": Entry("only these keys; of a list, each object so", "{'a': 1, 'b': 2}|pick('a')", {"a": 1}),
        "without": Entry("all but these keys; of a list, each object so", "{'a': 1, 'b': 2}|without('a')", {"b": 2}),
        "merge": Entry(
            "the keys of both, the second wins; with `true`, objects in them are merged too",
            "{'a': {'x': 1}}|merge({'a': {'y': 2}}, true)",
            {"a": {"x": 1, "y": 2}},
        ),
    },
    "Anything": {
        "default": Entry(
            "its argument if the value does not exist; with a second one, `true`, also for false and empty values",
            "{}.x|default('none')",
            "none",
        ),
        "coalesce": Entry("the first that exists and is not null", "none|coalesce({}.x, 3)", 3),
        "bool": Entry("whether it is neither null, false, 0 nor empty", "''|bool", False),
    },
}

TESTS_SECTION: dict[str, Entry] = {
    "defined": Entry("exists", "{}.x is defined", False),
    "undefined": Entry("does not exist", "{}.x is undefined", True),
    "none": Entry("is null", "none is none", True),
    "boolean": Entry("is true or false", "1 is boolean", False),
    "true": Entry("is true", "true is true", True),
    "false": Entry("is false", "0 is false", False),
    "number": Entry("is a number", "1.5 is number", True),
    "integer": Entry("is a whole number", "1.5 is integer", False),
    "float": Entry("is a number with a fraction", "1.5 is float", True),
    "string": Entry("is a text", "'a' is string", True),
    "sequence": Entry("is a list", "[1] is sequence", True),
    "mapping": Entry("is an object", "{'a': 1} is mapping", True),
    "even": Entry("is even", "2 is even", True),
    "odd": Entry("is odd", "2 is odd", False),
    "divisibleby": Entry("can be divided by", "9 is divisibleby(3)", True),
    "eq": Entry("equals", "1 is eq(1)", True),
    "equalto": Entry("equals", "1 is equalto(2)", False),
    "ne": Entry("differs from", "1 is ne(2)", True),
    "lt": Entry("is less than", "1 is lt(2)", True),
    "le": Entry("is at most", "2 is le(2)", True),
    "gt": Entry("is more than", "1 is gt(2)", False),
    "ge": Entry("is at least", "2 is ge(2)", True),
    "in": Entry("is an item, a key or a piece of", "'b' is in('abc')", True),
    "startingwith": Entry("begins with", "'abc' is startingwith('ab')", True),
    "endingwith": Entry("ends with", "'abc' is endingwith('bc')", True),
}


def table(entries: dict[str, Entry]) -> str:
    """Return a section's table, in Markdown."""
    return "\n".join(["| | | for example | gives |", "|---|---|---|---|", *_rows(entries)]) + "\n"


def _rows(entries: dict[str, Entry]) -> Iterator[str]:
    functions: dict[str, Callable[..., Any]] = {**TESTS, **FILTERS, **LIST_FILTERS}
    for name, entry in entries.items():
        called = _called(name, functions.get(name))
        example, gives = entry.example.replace("|", "\\|"), orjson.dumps(entry.gives).decode().replace("|", "\\|")
        yield f"| `{called}` | {entry.does} | `{example}` | `{gives}` |"


def _called(name: str, function: Callable[..., Any] | None) -> str:
    """Return the name with the arguments that the filter or test may be given: `round(digits)`."""
    if function is None:
        return name
    _, *rest = inspect.signature(function).parameters.values()
    if not rest:
        return name
    return f"{name}({', '.join('...' if one.kind is one.VAR_POSITIONAL else one.name for one in rest)})"
