"""The filters of expressions: each example of the reference, and what is refused and how."""

from __future__ import annotations

import time
from typing import Any

import pytest

from actions import expressions
from actions.expressions import ExpressionError, reference
from actions.expressions.filters import FILTERS, LIST_FILTERS
from actions.expressions.library import decimals, patterns
from actions.expressions.values import TESTS
from runs.management.commands.write_docs import EXPRESSIONS, expressions_markdown

ENTRIES = [
    pytest.param(entry, id=name)
    for section in (*reference.SECTIONS.values(), reference.TESTS_SECTION)
    for name, entry in section.items()
]


@pytest.mark.parametrize("entry", ENTRIES)
def test_each_example_gives_what_the_reference_says(entry: reference.Entry) -> None:
    assert expressions.evaluate(entry.example, {}) == entry.gives


def test_the_reference_has_every_filter_and_test() -> None:
    filters = [name for section in reference.SECTIONS.values() for name in section]
    assert len(filters) == len(set(filters))
    assert set(filters) == {*FILTERS, *LIST_FILTERS, "default"}
    assert set(reference.TESTS_SECTION) == {*TESTS, "defined", "undefined"}
    for name, entry in [pair for section in reference.SECTIONS.values() for pair in section.items()]:
        assert f"|{name}" in entry.example


def test_the_page_is_written_from_the_reference() -> None:
    assert EXPRESSIONS.read_text() == expressions_markdown(), "run `make docs`"


def value(source: str, **names: Any) -> Any:
    return expressions.evaluate(source, names)


# Summer begins on 29 March 2026 in Berlin, at 2:00, and ends on 25 October.
DATES = [
    ("'2026-03-28T12:00 Europe/Berlin'|add_time(days=1, timezone='Europe/Berlin')", "2026-03-29T10:00:00Z"),
    ("'2026-03-28T12:00 Europe/Berlin'|add_time(hours=24, timezone='Europe/Berlin')", "2026-03-29T11:00:00Z"),
    ("'2026-03-28T12:00 Europe/Berlin'|add_time(days=1)", "2026-03-29T11:00:00Z"),
    ("'2028-02-29T00:00Z'|add_time(years=1)", "2029-02-28T00:00:00Z"),
    ("'2026-03-31T00:00Z'|add_time(months=-1)", "2026-02-28T00:00:00Z"),
    ("'2026-12-01T00:00Z'|add_time(months=13, days=1, minutes=0.5)", "2028-01-02T00:00:30Z"),
    ("'2026-03-01'|add_time(days=1, timezone='Europe/Berlin')", "2026-03-01T23:00:00Z"),
    ("'2026-10-25T12:00Z'|start_of('day', 'Europe/Berlin')", "2026-10-24T22:00:00Z"),
    ("'2026-03-01T12:00Z'|start_of('week', 'America/New_York')", "2026-02-23T05:00:00Z"),
    ("'2026-03-01T12:34:56Z'|start_of('hour')", "2026-03-01T12:00:00Z"),
    ("'2026-03-01T12:00Z'|start_of('month')", "2026-03-01T00:00:00Z"),
    ("'2026-03-01T12:00Z'|start_of('year', 'Asia/Kolkata')", "2025-12-31T18:30:00Z"),
    ("'2026-03-01T12:00:00.5Z'|timestamp", 1772366400.5),
    ("'2026-03-01'|parse_date(timezone='Asia/Tokyo')", "2026-02-28T15:00:00Z"),
    ("'2026-03-01 09:00 +0200'|parse_date('%Y-%m-%d %H:%M %z')", "2026-03-01T07:00:00Z"),
    ("'0099-03-01T12:00Z'|format_date('%Y/%m/%d')", "0099/03/01"),
    ("'2026-03-01T00:00Z'|date_diff('2026-03-01T00:00:00.25Z')", -0.25),
]


@pytest.mark.parametrize(("source", "wanted"), DATES)
def test_calendars_are_those_of_the_zone(source: str, wanted: Any) -> None:
    assert value(source) == wanted


MONEY = [
    ("0.1|decimal_add(0.2)", "0.3"),
    ("'2.675'|decimal_round", "2.68"),
    ("'2.665'|decimal_round(2)", "2.66"),
    ("'-2.665'|decimal_round(2, 'half_up')", "-2.67"),
    ("'1'|decimal_divide('8', 2, 'half_up')", "0.13"),
    ("'99999999999999999999.99'|decimal_add('0.01')", "100000000000000000000.00"),
    ("[]|decimal_sum", "0"),
    ("['1e2', '-1']|decimal_sum", "99"),
    ("1.005|round_half_up(2)", 1.01),
    ("2.5|round_half_up", 3),
    ("2.5|round_half_even", 2),
    ("-1234.5|format_number(0, ' ', ',', 'half_up')", "-1 235"),
    ("'1234567.5'|format_number", "1,234,567.50"),
    ("999|format_number(0)", "999"),
]


@pytest.mark.parametrize(("source", "wanted"), MONEY)
def test_decimals_are_exact(source: str, wanted: Any) -> None:
    assert value(source) == wanted
    assert type(value(source)) is type(wanted)


OTHERS = [
    ("gone|coalesce(also.gone, none, 0, 1)", 0),
    ("gone|coalesce(none)", None),
    ("({}.x|coalesce('a')) ~ 'b'", "ab"),
    ("'äöü ß'|base64_encode|base64_decode", "äöü ß"),
    ("'YQ=='|base64url_decode ~ ('YQ'|base64url_decode)", "aa"),
    ("'{\"a\": [1, 2.5, null]}'|fromjson", {"a": [1, 2.5, None]}),
    ("'héllo wörld'|regex_findall('ö|é')", ["é", "ö"]),
    ("'a,b;c'|regex_replace('[,;]', ' \\\\0 ')", "a , b ; c"),
    ("'abc'|regex_search('(a)(x)?(b)')", ["a", None, "b"]),
    ("'abc'|regex_search('x')", None),
    ("'aaa'|regex_replace('', '-')", "-a-a-a-"),
    ("'  Größe: XL / 50 % '|slug('_')", "grosse_xl_50"),
    ("[{'a': 1, 'b': 2}, {'a': 3}]|pick('a')", [{"a": 1}, {"a": 3}]),
    ("[{'o': {'s': 1}}, {'o': {'s': 2}}, {}]|where('o.s', 2)", [{"o": {"s": 2}}]),
    ("[{'on': true}, {'on': false}]|where('on')|length", 1),
    ("{'a': 1}|merge({'a': none, 'b': [1]})", {"a": None, "b": [1]}),
    ("[[1, [2]], 3, [[4]]]|flatten(2)", [1, 2, 3, 4]),
    ("{'b': 1, 'a': 2}|items|sort_by(0)|from_items|keys", ["a", "b"]),
    ("['2026-03-01T09:00Z']|map('format_date', '%d.%m.')|first", "01.03."),
    ("['1', '2']|map('fromjson')|sum", 3),
]


@pytest.mark.parametrize(("source", "wanted"), OTHERS)
def test_what_people_reach_for(source: str, wanted: Any) -> None:
    assert value(source) == wanted


REFUSED = [
    ("20261231|add_time(days=1)", "needs a text, not a number"),
    ("'2026-03-01T09:00'|timestamp", "has no time zone"),
    ("'0001-01-01T00:00:00+14:00'|timestamp", "years 1 to 9999"),
    ("'9999-12-30T00:00Z'|add_time(days=9)", "years 1 to 9999"),
    ("'2026-03-01T09:00Z'|add_time(days=10**12)", "years 1 to 9999"),
    ("'2026-03-01T09:00Z'|add_time(seconds=1e300)", "years 1 to 9999"),
    ("'2026-03-01T09:00Z'|add_time(years=8000)", "years 1 to 9999"),
    ("'2026-03-01T09:00Z'|add_time(months=1.5)", "needs a whole number"),
    ("1e300|from_timestamp", "years 1 to 9999"),
    ("'2026-03-01T09:00Z'|in_timezone('Berlin')", "is no time zone"),
    ("'2026-03-01T09:00Z'|in_timezone('../../etc/passwd')", "is no time zone"),
    ("'2026-03-01T09:00Z'|format_date('%s')", "does not know %s"),
    ("'2026-03-01T09:00Z'|format_date('%Y' * 1)", "\\* needs a number"),
    ("'1.3.26'|parse_date('%d.%m.%Y', 'UTC')", "is not written as"),
    ("'1.3.2026'|parse_date('%d.%m.%Y')", "has no time zone"),
    ("'2026-03-01T09:00Z'|start_of('decade')", "known are hour, day"),
    ("'1,5'|decimal_add(1)", "needs a decimal such as '19.99', not '1,5'"),
    ("'nan'|decimal_add(1)", "needs a decimal"),
    ("'1_000'|decimal_add(1)", "needs a decimal"),
    ("true|decimal_add(1)", "needs a decimal such as '19.99', not a boolean"),
    ("'1e9999'|decimal_add(1)", "more than 50 digits"),
    ("'1e40'|decimal_multiply('1e40')", "more than 50 digits"),
    ("'1'|decimal_divide(0)", "divides by zero"),
    ("'1'|decimal_round(2, 'up')", "rounds half_even or half_up"),
    ("'{'|fromjson", "is not JSON: .* at line 1"),
    ("'99999999999999999999'|fromjson", "64 bits"),
    ('\'{"a": 1, "a": 2}\'|fromjson', "fromjson: the text"),
    ("'NaN'|fromjson", "fromjson: the text"),
    ("'a'|base64_decode", "needs base64 of a UTF-8 text"),
    ("'/w=='|base64_decode", "needs base64 of a UTF-8 text"),
    ("'YQ'|base64_decode", "needs base64"),
    ("'%ff'|urldecode", "UTF-8"),
    ("'a'|sha256('md5')", "needs an encoding: hex"),
    ("'a'|regex_search('(')", "is no regular expression"),
    ("'aa'|regex_search('(a)\\\\1')", "is no regular expression"),
    ("'aa'|regex_search('(?=a)')", "is no regular expression"),
    ("'a'|regex_replace('a', '\\\\2')", "has no group 2"),
    ("'a'|regex_search('(\\\\pL+){30}')", "is too large"),
    ("[1]|zip([1, 2])", "of the same length, not of 1 and 2"),
    ("[1]|merge({})", "merge needs an object, not a list"),
    ("[1]|from_items", "needs a list of pairs"),
    ("{'a': 1}|pick", "needs keys"),
    ("[1]|flatten(99)", "1 to 20 levels"),
]


@pytest.mark.parametrize(("source", "message"), REFUSED)
def test_what_cannot_be_worked_out_says_why(source: str, message: str) -> None:
    with pytest.raises(ExpressionError, match=message):
        value(source)


def test_regular_expressions_are_bounded_in_time_and_size() -> None:
    began = time.thread_time()
    long = "a" * patterns.MOST_TEXT
    for pattern in ("(a*)*b", "(a|aa)+$", "((a?){30})*c", "(x+x+)+y"):
        assert value("t|regex_search(p)|default(0) is defined", t=long, p=pattern)
    with pytest.raises(ExpressionError, match="takes too long"):
        value("t|regex_findall('(?:a.*y)|a')|length", t="a" * 200_000)
    with pytest.raises(ExpressionError, match="at most 1,000,000 characters"):
        value("t|regex_search('a')", t=long + "a")
    with pytest.raises(ExpressionError, match="at most 500 characters"):
        value("'a'|regex_search(p)", p="a" * 501)
    with pytest.raises(ExpressionError, match="makes too much"):
        value("t|regex_replace('a', n)|length", t="a" * 10_000, n="b" * 10_000)
    assert time.thread_time() - began < 20


def test_decimals_are_bounded() -> None:
    assert value("n|decimal_add(0)", n="9" * decimals.MOST_DIGITS) == "9" * decimals.MOST_DIGITS
    for long in ("9" * 51, "0." + "1" * 51, "1" * 1_000_000):
        with pytest.raises(ExpressionError, match=r"needs a decimal|more than 50 digits"):
            value("n|decimal_add(0)", n=long)
