"""Expressions that are to take time or memory without end: each is refused, or over soon."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from actions import expressions, payload
from actions.base import ActionError
from actions.catalogue.condition import Condition, ConditionConfig
from actions.catalogue.transform import Transform, TransformConfig
from runs.control import concurrency
from tests.actions.contexts import context
from tests.hostile.case import Case
from workflows.definitions.definition import Concurrency
from workflows.definitions.errors import InvalidInput

KIND = "cost of an expression"
Names = Callable[[], dict[str, Any]]

# An evaluation may take 2 s of processor time; making the values that it is given, and one operation, come on top.
_LIMIT = 4_000
_WHY = "An evaluation may take 2 s of processor time, which is looked at between operations."
_INPUT = "The values that it is given take most of it; the evaluation itself may take 64 MB."
_OUTPUT = "An output may have 10,000,000 values, and each is weighed, checked and counted before the list is refused."
_BIG = 9_800_000
_LONG_PATH = ".".join("a" * 50_000)


def _text() -> dict[str, Any]:
    return {"s": "ab\n" * (_BIG // 3), "t": "ab\n" * (_BIG // 3 - 1) + "abc"}


def _wide_text() -> dict[str, Any]:
    return {"s": "\u00df\u4e2d\U0001f600" * 1_000_000}


def _numbers() -> dict[str, Any]:
    return {"rows": list(range(700_000))}


def _objects() -> dict[str, Any]:
    return {"rows": [{"k": number} for number in range(200_000)]}


def _searches() -> dict[str, Any]:
    return {"big": "a" * 5_000_000, "rows": ["b" + "a" * 98] * 100_000, "objects": [{"k": "b" + "a" * 98}] * 100_000}


def _compared() -> dict[str, Any]:
    left, right = "a" * 1_000_000 + "b", "a" * 1_000_000 + "c"
    return {"left": left, "right": right, "rows": [left, right] * 20_000, "lists": [[left], [right]] * 20_000}


def _keys() -> dict[str, Any]:
    return {"o": {"k" * 3_000_000: 1, "w " * 1_500_000: 2}, "s": "w " * 4_000_000}


def _harmless(value: object) -> str | None:
    """None if the value is small, as it must be where an expression is not refused."""
    return None if payload.size(value, limit=2_100_000) <= 2_100_000 else "gave a value that is too large"  # type: ignore[arg-type]


def _evaluated(source: str, names: Names, *, web: bool = False) -> str | None:
    given = names()
    try:
        with expressions.shared(cpu_milliseconds=50 if web else 2_000):
            value = expressions.evaluate(source, given)
    except ActionError as error:
        return None if len(str(error)) < 2_000 else "was refused with a message of the values"
    return _harmless(value)


def _rendered(config: Any, names: Names, *, parsed: bool) -> str | None:
    given = names()
    try:
        value = expressions.Template(config).render(given) if parsed else expressions.render(config, given)
    except ActionError as error:
        return None if len(str(error)) < 2_000 else "was refused with a message of the values"
    return _harmless(value)


def _case(name: str, source: str, names: Names, *, web: bool = False, megabytes: int = 100) -> Case:
    attack = partial(_evaluated, source, names, web=web)
    reason = "" if web else _WHY
    if megabytes > 100:
        reason = f"{reason} {_INPUT}".strip()
    return Case(name, KIND, attack, 1_500 if web else _LIMIT, megabytes, reason)


_OF_TEXT = [
    *("s|upper", "s|lower", "s|title", "s|capitalize", "s|trim", "s|urlencode", "s|reverse", "s|list", "s|split"),
    *("s|split('b')", "s|tojson", "s|string|tojson", "s|indent(100)", "s|replace('a', 'aaaaaaaaaaaaaaaaaaaaa')"),
    *("s|format", "'{}{}'|format(s, s)", "[s, s]|join", "['a', 'b']|join(s)", "s ~ s", "s + s", "s[1:]", "s[::-1]"),
    *("s|list|map('upper')|join", "[s, s, s]|map('upper')", "[s]|unique", "[{'k': s}]|groupby('k')", "s|first ~ s"),
]
_OF_ITEMS = [
    *("rows|sort", "rows|sort(reverse=true)|sort|sort", "rows|unique|length", "rows|batch(1)|length", "rows|max"),
    *("rows|map('string')|join(',')", "rows|tojson", "rows|string", "rows + rows + rows", "rows ~ rows", "rows[::-1]"),
    *("rows|select('odd')|reject('odd')|list", "rows|map('batch', 2)", "rows|map('abs')|map('abs')|map('abs')|sum"),
    *("rows|select('in', rows)|length", "rows == rows[::-1]", "rows|sum ~ rows|min", "[rows, rows, rows]|tojson"),
    *("rows|batch(2)|unique|length", "rows|map('string')|unique|length", "rows|batch(1)|sort", "rows|list|reverse"),
]
_OF_OBJECTS = [
    *("rows|groupby('k')|length", "rows|groupby('k')", "rows|unique('k')|length", "rows|unique|length", "rows|tojson"),
    *("rows|map('items')|length", "rows|sort(attribute='k')|map(attribute='k')|sum", "rows|map('tojson')|join|length"),
    *("rows|selectattr('k', 'in', rows)|length", "rows|select('in', rows[::-1])|length", "rows == rows|list|reverse"),
]
_LIBRARY_OF_TEXT = [
    *("s|base64_encode", "s|base64_decode", "s|base64url_decode", "s|sha256", "s|hmac_sha256(s)", "s|fromjson"),
    *("s|urldecode", "s|slug", "s|decimal_add(1)", "s|timestamp", "s|parse_date(s)", "'2026-01-01'|start_of('day', s)"),
    *("'2026-01-01T00:00Z'|format_date(s)", "'a'|regex_search(s)", "s[:999999]|regex_findall('a|b| ')|length"),
    *("s[:999999]|regex_search('(a*)*(b*)*c')", "s[:999999]|regex_replace('a|b| ', 'xxxxxxxxxxxxxxxxxxxxx')"),
    *("s[:999999]|regex_findall('(?:.*y)|.')|length", "s[:999999]|regex_search('((.?){30})*yy')", "1|format_number(s)"),
]
_LIBRARY_OF_ITEMS = [
    *("rows|decimal_sum", "rows|zip(rows)|length", "rows|zip(rows)|flatten|length", "rows|map('from_timestamp')|list"),
    *(
        "rows|map('decimal_add', '1')|length",
        "rows|map('string')|map('regex_search', '1')|length",
        "rows|batch(2)|flatten",
    ),
    *("rows|map('string')|map('slug')|length", "rows|map('string')|zip(rows)|from_items|keys|length", "rows|where(0)"),
]
_LIBRARY_OF_OBJECTS = [
    *("rows|pick('k')|length", "rows|without('x')|length", "rows|where('k', 1)|length", "rows|sort_by('k')|length"),
    *("rows|map('merge', {'a': 1})|length", "rows|map('values')|flatten|length", "rows|zip(rows)|flatten|pick('k')"),
]
_BY_PATH = [
    *(
        "rows|map(attribute=p)|length",
        "rows|selectattr(p)|length",
        "rows|rejectattr(p)|length",
        "rows|unique(p)|length",
    ),
    *(
        "rows|selectattr(p, 'eq', 1)|length",
        "rows|join(',', p)|length",
        "rows|groupby(p)|length",
        "rows|sort(attribute=p)",
    ),
    *("rows|sum(p)", "rows|max(attribute=p)", "rows|map(attribute=rows)|length", "rows|map(attribute=rows|tojson)"),
]
_SEARCHES = [
    *("rows|select('in', big)|length", "rows|reject('in', big)|length", "objects|selectattr('k', 'in', big)|length"),
    *(
        "objects|rejectattr('k', 'in', big)|length",
        "rows|map('replace', big, 'x')|length",
        "rows|select('eq', big)|list",
    ),
    *("[" + ", ".join(["rows[0] in big"] * 60) + "]", "big|replace(rows[0], 'x')|length", "big|split(rows[0])|length"),
]
_COMPARED = [
    *("rows|select('eq', left)|length", "rows|reject('ne', right)|length", "rows|sort|length", "rows|max == rows|min"),
    *("rows|select('lt', right)|length", "rows|select('startingwith', left)|length", "left in rows[1::2]"),
    *("rows|select('endingwith', right)|length", "lists|select('eq', lists[0])|length", "[left] in lists[1::2]"),
    *("rows == rows|reverse", "rows|unique|length", "rows|groupby('0')|length", "[" + "left < right, " * 160 + "]"),
]
_COPIES = {
    "one text in a list 240 times": "[" + "s, " * 240 + "]|length",
    "one text in objects": "[" + "{'a': s, 'b': s}, " * 60 + "]|length",
    "one text in lists in lists": "[" + "[[s, s], [s, s]], " * 40 + "]|length",
    "one text tested for truth": "[" + "(1 if s else 2), " * 100 + "]|length",
    "one text and itself": " and ".join(["s"] * 30),
    "one text by default": "s" + "|default(s)" * 6,
    "one text compared with its like": "[" + "s == t, " * 160 + "]|length",
    "one text searched for its like": "[" + "t in s, " * 160 + "]|length",
    "one text given back 240 times": "[" + "s, " * 240 + "]",
    "one text first and last": "[" + "s|first ~ s|last, " * 60 + "]|join",
    "one text measured 200 times": "[" + "s|length, " * 160 + "]|sum",
}
_WRONG = {
    **{f"numbers {sign} 1": f"rows {sign} 1" for sign in ("+", "-", "*", "/", "//", "%", "**", "<", ">=")},
    **{f"1 {sign} numbers": f"1 {sign} rows" for sign in ("-", "/", "<")},
    **{f"numbers as {name}": f"rows|{name}" for name in ("abs", "int", "float", "round", "upper", "items", "format")},
    "minus numbers": "-rows",
    "numbers as a position": "rows[rows]",
    "numbers as a range": "range(rows)",
}
_MISSING = {
    "a missing key beside huge keys": "o.nope",
    "a missing key that is huge": "(o)[s]",
    "a missing name that is huge": "[o][0][s|upper]",
    "no number, but millions of words": "s|int",
    "a text without a filter's argument": "o|map('upper')",
}

# (name, config, names): renderings that share one budget.
_DEAR = "{{ rows|map('string')|join|length }}"
_RENDERINGS: list[tuple[str, Any, Names]] = [
    ("a thousand dear expressions in an object", {f"k{at}": _DEAR for at in range(1_000)}, _objects),
    ("a thousand dear expressions in a list", [_DEAR] * 1_000, _objects),
    ("four hundred dear expressions in a text", _DEAR * 400, _objects),
    ("dear expressions in objects in lists", [{"a": [_DEAR, {"b": _DEAR}]}] * 300, _objects),
    ("texts of a megabyte each", [{"k": "{{ s[:900000] }}"}] * 200, _text),
    ("texts around expressions", ["x{{ s[:900000] }}"] * 200, _text),
    ("the whole text 500 times", ["{{ s }}"] * 500, _text),
    ("the whole text as JSON", ["{{ s }}{{ [s] }}"] * 50, _text),
    ("numbers in a text", ["x{{ rows }}"] * 50, _numbers),
]


def _mapped(fields: dict[str, Any], items: int) -> str | None:
    names: dict[str, Any] = {"word": "a" * 100_000, "rows": list(range(100_000))}
    try:
        Transform().perform(TransformConfig(map=fields), replace(context(names), input=[{"n": 1}] * items))
    except ActionError as error:
        return None if "more than 10,000,000 characters and values" in str(error) else f"was refused with {error}"
    return "was not refused"


_MAPS: dict[str, dict[str, Any]] = {
    "texts": {"x": "word ~ n"},
    "the same text": {"x": "word", "y": "word"},
    "the same list": {"x": "rows"},
    "lists of lists": {"x": "range(9999)|batch(5000)"},
    "texts in an object": {"x": {"y": ["{{ word ~ n }}", "{{ word }}"]}},
    "objects of the same list": {"x": "[{'a': rows}, {'b': rows}]"},
}


def _map_case(name: str, fields: dict[str, Any]) -> Case:
    case = Case(f"a map makes much of little: {name}", KIND, partial(_mapped, fields, 200_000))
    return replace(case, milliseconds=25_000, megabytes=450, reason=_OUTPUT) if "list" in name else case


def _key(source: str, names: Names) -> str | None:
    given = names()
    try:
        concurrency.key(Concurrency(limit=1, key="{{ " + source + " }}"), given)
    except InvalidInput as error:
        return None if len(str(error)) < 2_000 else "was refused with a message of the values"
    return None


def _condition(source: str, names: Names) -> str | None:
    given = names()
    try:
        Condition().perform(ConditionConfig(expression=source), replace(context(), names=given))
    except ActionError:
        return None
    return None


def _repeated(value: Any) -> str | None:
    try:
        payload.clean(value())
    except ActionError as error:
        return None if "is larger than 10,000,000" in str(error) else f"was refused with {error}"
    return "was not refused"


_REPEATED: dict[str, Callable[[], Any]] = {
    "a list of one list": lambda: [list(range(100_000))] * 200_000,
    "an object in a list": lambda: [{"a": list(range(100_000))}] * 1_000,
    "lists four deep": lambda: [[[[[1] * 100] * 100] * 100] * 100] * 100,
    "one text in many objects": lambda: [{"a": "x" * 100_000}] * 1_000,
    "objects in objects": lambda: {"a": [{"b": dict.fromkeys(map(str, range(1_000)), [1] * 1_000)}] * 1_000},
}


def _sources(kind: str, sources: list[str], names: Names, *, web: bool = False, megabytes: int = 100) -> list[Case]:
    return [_case(f"{kind}: {source[:60]}", source, names, web=web, megabytes=megabytes) for source in sources]


def _parsings(name: str, config: Any, names: Names) -> list[Case]:
    ways = (("parsed once", True), ("as it is", False))
    attacks = [(how, partial(_rendered, config, names, parsed=parsed)) for how, parsed in ways]
    return [Case(f"{name}, {how}", KIND, attack, _LIMIT, 200, f"{_WHY} {_INPUT}") for how, attack in attacks]


CASES: list[Case] = [
    *_sources("a long text", _OF_TEXT, _text, megabytes=150),
    *_sources("a long text in the library", _LIBRARY_OF_TEXT, _text, megabytes=150),
    *_sources("wide characters in the library", _LIBRARY_OF_TEXT, _wide_text, megabytes=150),
    *_sources("many numbers in the library", _LIBRARY_OF_ITEMS, _numbers, megabytes=150),
    *_sources("many objects in the library", _LIBRARY_OF_OBJECTS, _objects, megabytes=250),
    *_sources("wide characters", _OF_TEXT[5:15], _wide_text, web=True, megabytes=150),
    *_sources("many numbers", _OF_ITEMS, _numbers, megabytes=150),
    *_sources("many objects", _OF_OBJECTS, _objects, megabytes=200),
    *_sources("a path of 50,000 keys", _BY_PATH, lambda: {**_objects(), "p": _LONG_PATH}, web=True, megabytes=200),
    *_sources("searched", _SEARCHES[:2], _searches),
    *_sources("searched in a request", _SEARCHES, _searches, web=True),
    *_sources("compared", _COMPARED[:2], _compared),
    *_sources("compared in a request", _COMPARED, _compared, web=True),
    *[_case(name, source, _text, web=True) for name, source in _COPIES.items()],
    *[_case(name, source, _numbers, web=True) for name, source in _WRONG.items()],
    *[_case(name, source, _keys, web=True) for name, source in _MISSING.items()],
    *[case for rendering in _RENDERINGS for case in _parsings(*rendering)],
    *[_map_case(name, fields) for name, fields in _MAPS.items()],
    *[
        Case(f"a concurrency key: {source[:60]}", KIND, partial(_key, source, names), 1_500, 200, _INPUT)
        for sources, names in ((_OF_ITEMS[:6], _numbers), (_SEARCHES[:3], _searches), (_OF_OBJECTS[:3], _objects))
        for source in sources
    ],
    *[
        Case(f"a condition: {source[:60]}", KIND, partial(_condition, source, _compared), _LIMIT, 100, _WHY)
        for source in _COMPARED[:4]
    ],
    *[
        Case(f"an output with one value many times: {name}", KIND, partial(_repeated, value), _LIMIT, 250, _INPUT)
        for name, value in _REPEATED.items()
    ],
]
