"""The filters and tests that expressions may use. They accept plain JSON, and charge what they build to the budget.

The first argument is the value in front of the `|`. Nothing here reads a Python attribute of a value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cmp_to_key
from typing import Any
from urllib.parse import quote

import orjson

from actions.expressions.operators import (
    Refused,
    as_text,
    bounded,
    charge,
    concat,
    items_of,
    kind,
    made,
    number_of,
    text_of,
    weigh,
    whole_of,
)


def _abs(value: Any) -> int | float:
    return abs(number_of(value, what="abs"))


def _batch(value: Any, size: Any) -> list[list[Any]]:
    items, width = items_of(value, what="batch"), whole_of(size, what="batch")
    if width < 1:
        raise Refused("batch needs a size of at least 1")
    return [items[at : at + width] for at in range(0, len(items), width)]


def _float(value: Any) -> int | float:
    return _parsed(value, parse=float, what="float")


def _int(value: Any) -> int | float:
    return _parsed(value, parse=lambda given: int(float(given)) if "." in str(given) else int(given), what="int")


def _parsed(value: Any, *, parse: Callable[[Any], int | float], what: str) -> int | float:
    if not isinstance(value, (bool, int, float, str)) or len(str(value)) > 400:
        raise Refused(f"{what} needs a number or a text, not {kind(value)}")
    try:
        return bounded(parse(value))
    except (ValueError, OverflowError) as error:
        raise Refused(f"{value!r} is no number for {what}") from error


def _indent(value: Any, width: Any = 4) -> str:
    text, spaces = text_of(value, what="indent"), whole_of(width, what="indent")
    if not 0 <= spaces <= 100:
        raise Refused("indent needs a width from 0 to 100")
    charge(len(text) + spaces * text.count("\n"))
    return text.replace("\n", "\n" + " " * spaces)


def _format(value: Any, *parts: Any) -> str:
    """`"{} of {}"|format(a, b)`: replaces each {} in order. Widths, indexes and attributes are not supported."""
    pieces = text_of(value, what="format").split("{}")
    if len(pieces) != len(parts) + 1:
        raise Refused(f"format has {len(pieces) - 1} places {{}} and {len(parts)} values")
    return concat(pieces[0], *(each for pair in zip(parts, pieces[1:], strict=True) for each in pair))


def _items_of(value: Any) -> list[list[Any]]:
    if not isinstance(value, dict):
        raise Refused(f"items needs an object, not {kind(value)}")
    charge(2 * len(value))
    return [[key, item] for key, item in value.items()]


def _join(value: Any, separator: Any = "", attribute: Any = None) -> str:
    between = text_of(separator, what="join")
    texts = [made(as_text(item)) for item in _plucked(value, attribute, what="join")]
    charge(len(between) * len(texts))
    return between.join(texts)


def _plucked(value: Any, attribute: Any, *, what: str) -> list[Any]:
    items = items_of(value, what=what)
    return items if attribute is None else [pluck(item, attribute) for item in items]


def pluck(value: Any, path: Any) -> Any:
    """Return the value at a dotted path in an item; null if it is missing, so that one such item fails no list."""
    for key in str(path).split("."):
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list) and key.isdecimal() and len(key) < 10 and int(key) < len(value):
            value = value[int(key)]
        else:
            return None
    return value


def _length(value: Any) -> int:
    if not isinstance(value, (str, list, tuple, dict)):
        raise Refused(f"length needs a text, a list or an object, not {kind(value)}")
    return len(value)


def _list(value: Any) -> list[Any]:
    return items_of(list(value) if isinstance(value, str) else value, what="list")


def _replace(value: Any, old: Any, new: Any) -> str:
    text, old_text, new_text = (text_of(part, what="replace") for part in (value, old, new))
    if not old_text:
        raise Refused("replace needs a text to look for")
    charge(len(text) + text.count(old_text) * len(new_text))
    return text.replace(old_text, new_text)


def _reverse(value: Any) -> Any:
    return made(value[::-1]) if isinstance(value, str) else items_of(value, what="reverse")[::-1]


def _round(value: Any, digits: Any = 0) -> int | float:
    places = whole_of(digits, what="round")
    if not -20 <= places <= 20:
        raise Refused("round needs -20 to 20 digits")
    rounded = round(number_of(value, what="round"), places)
    return int(rounded) if places <= 0 else rounded


def _order(left: Any, right: Any) -> int:
    return -1 if _less(left, right) else int(_less(right, left))


_by_order = cmp_to_key(_order)


def _sort(value: Any, reverse: Any = False, attribute: Any = None) -> list[Any]:
    items = items_of(value, what="sort")
    if attribute is None:
        return sorted(items, key=_by_order, reverse=bool(reverse))
    return sorted(items, key=lambda item: _by_order(pluck(item, attribute)), reverse=bool(reverse))


def _max(value: Any, attribute: Any = None) -> Any:
    return (_sort(value, True, attribute) or [None])[0]


def _min(value: Any, attribute: Any = None) -> Any:
    return (_sort(value, False, attribute) or [None])[0]


def _split(value: Any, separator: Any = None) -> list[str]:
    text = text_of(value, what="split")
    if separator == "":
        raise Refused("split needs a separator")
    charge(len(text))
    return text.split(None if separator is None else text_of(separator, what="split"))


def _sum(value: Any, attribute: Any = None) -> int | float:
    return bounded(sum(number_of(item, what="sum") for item in _plucked(value, attribute, what="sum")))


def _string(value: Any) -> str:
    return made(as_text(value))


def _tojson(value: Any) -> str:
    weigh(value)
    return made(orjson.dumps(value).decode())


def _unique(value: Any, attribute: Any = None) -> list[Any]:
    seen: dict[bytes, Any] = {}
    for item in items_of(value, what="unique"):
        part = item if attribute is None else pluck(item, attribute)
        weigh(part)
        seen.setdefault(orjson.dumps(part, option=orjson.OPT_SORT_KEYS), item)
    return list(seen.values())


def _group(value: Any, attribute: Any) -> list[dict[str, Any]]:
    groups: dict[bytes, dict[str, Any]] = {}
    for item in items_of(value, what="groupby"):
        key = pluck(item, attribute)
        weigh(key)
        groups.setdefault(orjson.dumps(key), {"key": key, "items": []})["items"].append(item)
    return list(groups.values())


def _of_text(what: str, convert: Callable[[str], str]) -> Callable[[Any], str]:
    return lambda value: made(convert(text_of(value, what=what)))


def _truthy(value: Any) -> bool:
    return bool(value)


def _first(value: Any) -> Any:
    return _edge(value, 0, what="first")


def _last(value: Any) -> Any:
    return _edge(value, -1, what="last")


def _edge(value: Any, at: int, *, what: str) -> Any:
    if not isinstance(value, (str, list, tuple)):
        raise Refused(f"{what} needs a list or a text, not {kind(value)}")
    if not value:
        raise Refused(f"{what} of nothing; write `|{what}|default(...)`")
    return value[at]


FILTERS: dict[str, Callable[..., Any]] = {
    "abs": _abs,
    "batch": _batch,
    "bool": _truthy,
    "capitalize": _of_text("capitalize", str.capitalize),
    "count": _length,
    "first": _first,
    "float": _float,
    "format": _format,
    "groupby": _group,
    "indent": _indent,
    "int": _int,
    "items": _items_of,
    "join": _join,
    "last": _last,
    "length": _length,
    "list": _list,
    "lower": _of_text("lower", str.lower),
    "max": _max,
    "min": _min,
    "replace": _replace,
    "reverse": _reverse,
    "round": _round,
    "sort": _sort,
    "split": _split,
    "string": _string,
    "sum": _sum,
    "title": _of_text("title", str.title),
    "tojson": _tojson,
    "trim": _of_text("trim", str.strip),
    "unique": _unique,
    "upper": _of_text("upper", str.upper),
    "urlencode": _of_text("urlencode", lambda text: quote(text, safe="")),
}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _equal(left: Any, right: Any) -> bool:
    if isinstance(left, (list, tuple, dict)):
        weigh(left)
    return bool(left == right)


def _less(left: Any, right: Any) -> bool:
    comparable = _is_number(left) and _is_number(right)
    if not comparable and not (isinstance(left, str) and isinstance(right, str)):
        raise Refused(f"cannot order {kind(left)} and {kind(right)}")
    return bool(left < right)


def _remainder(value: Any, divisor: Any) -> int:
    if not divisor:
        raise Refused("divides by zero")
    return whole_of(value, what="divisibleby") % whole_of(divisor, what="divisibleby")


def _contains(value: Any, container: Any) -> bool:
    if isinstance(container, str):
        return text_of(value, what="in") in container
    return value in items_of(container, what="in")


def _starts(value: Any, head: Any) -> bool:
    return text_of(value, what="startingwith").startswith(text_of(head, what="startingwith"))


def _ends(value: Any, end: Any) -> bool:
    return text_of(value, what="endingwith").endswith(text_of(end, what="endingwith"))


TESTS: dict[str, Callable[..., bool]] = {
    "boolean": lambda value: isinstance(value, bool),
    "divisibleby": lambda value, by: _remainder(value, by) == 0,
    "endingwith": _ends,
    "eq": _equal,
    "equalto": _equal,
    "even": lambda value: _remainder(value, 2) == 0,
    "false": lambda value: value is False,
    "float": lambda value: isinstance(value, float),
    "ge": lambda left, right: not _less(left, right),
    "gt": lambda left, right: _less(right, left),
    "in": _contains,
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "le": lambda left, right: not _less(right, left),
    "lt": _less,
    "mapping": lambda value: isinstance(value, dict),
    "ne": lambda left, right: not _equal(left, right),
    "none": lambda value: value is None,
    "number": _is_number,
    "odd": lambda value: _remainder(value, 2) == 1,
    "sequence": lambda value: isinstance(value, (list, tuple)),
    "startingwith": _starts,
    "string": lambda value: isinstance(value, str),
    "true": lambda value: value is True,
}


def mapped(value: Any, name: Any = None, *args: Any, attribute: Any = None) -> list[Any]:
    """`map(attribute="a.b")` reads a path of each item; `map("filter", ...)` applies a filter to each item."""
    if attribute is not None:
        return _plucked(value, attribute, what="map")
    return [FILTERS[name](item, *args) for item in items_of(value, what="map")]


def selected(value: Any, name: Any = None, *args: Any) -> list[Any]:
    """`select("test", ...)` keeps the items that pass the test; `select()` keeps those that are true."""
    return [item for item in items_of(value, what="select") if _passes(item, name, args)]


def rejected(value: Any, name: Any = None, *args: Any) -> list[Any]:
    return [item for item in items_of(value, what="reject") if not _passes(item, name, args)]


def selected_by(value: Any, attribute: Any, name: Any = None, *args: Any) -> list[Any]:
    """`selectattr("a.b", "test", ...)` keeps the items whose value at that path passes the test."""
    return [item for item in items_of(value, what="selectattr") if _passes(pluck(item, attribute), name, args)]


def rejected_by(value: Any, attribute: Any, name: Any = None, *args: Any) -> list[Any]:
    return [item for item in items_of(value, what="rejectattr") if not _passes(pluck(item, attribute), name, args)]


def _passes(value: Any, name: Any, args: Iterable[Any]) -> bool:
    return bool(value) if name is None else bool(TESTS[name](value, *args))


LIST_FILTERS: dict[str, Callable[..., list[Any]]] = {
    "map": mapped,
    "select": selected,
    "reject": rejected,
    "selectattr": selected_by,
    "rejectattr": rejected_by,
}
