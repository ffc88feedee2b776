"""The filters that expressions may use. They accept plain JSON, and charge to the budget what they make and look at;
tests/actions/test_expression_costs.py has the table.

The first argument is the value in front of the `|`. Nothing here reads a Python attribute of a value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cmp_to_key
from typing import Any
from urllib.parse import quote

import orjson

from actions.expressions.values import (
    LIST_BYTES,
    TESTS,
    TEXT_BYTES,
    Refused,
    as_text,
    bounded,
    charge,
    each,
    hold,
    items_of,
    keys_of,
    kind,
    less,
    made,
    number_of,
    pluck,
    plucked,
    text_of,
    weigh,
    whole_of,
    work,
)

# Bytes besides the characters and places that `charge` counts: of what an order keeps for each item, of what `unique`
# keeps for each value, and of a group.
_ORDER_BYTES = 56
_SEEN_BYTES = 160
_GROUP_BYTES = 600
_NUMBERS = frozenset({int, float})
_SPACES = (" ", "\t", "\n", "\r", "\v", "\f")


def _abs(value: Any) -> int | float:
    return abs(number_of(value, what="abs"))


def _batch(value: Any, size: Any) -> list[list[Any]]:
    items, width = items_of(value, what="batch"), whole_of(size, what="batch")
    if width < 1:
        raise Refused("batch needs a size of at least 1")
    hold(LIST_BYTES * (len(items) // width + 1))
    return [items[at : at + width] for at in each(range(0, len(items), width))]


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
    work(len(text))
    charge(len(text) + spaces * text.count("\n"))
    return text.replace("\n", "\n" + " " * spaces)


def _format(value: Any, *parts: Any) -> str:
    """`"{} of {}"|format(a, b)`: replaces each {} in order. Widths, indexes and attributes are not supported."""
    text = text_of(value, what="format")
    work(len(text))
    places = text.count("{}")
    if places != len(parts):
        raise Refused(f"format has {places} places {{}} and {len(parts)} values")
    charge(len(text))
    pieces = text.split("{}")
    filled = [part for pair in zip(parts, pieces[1:], strict=True) for part in pair]
    return "".join([made(as_text(part)) for part in (pieces[0], *filled)])


def _items_of(value: Any) -> list[list[Any]]:
    if not isinstance(value, dict):
        raise Refused(f"items needs an object, not {kind(value)}")
    charge(2 * len(value))
    hold(LIST_BYTES * len(value))
    return [[key, value[key]] for key in each(list(value))]


def _join(value: Any, separator: Any = "", attribute: Any = None) -> str:
    between = text_of(separator, what="join")
    texts = [made(as_text(item)) for item in each(plucked(value, attribute, what="join"))]
    charge(len(between) * len(texts))
    return between.join(texts)


def _length(value: Any) -> int:
    if not isinstance(value, (str, list, tuple, dict)):
        raise Refused(f"length needs a text, a list or an object, not {kind(value)}")
    return len(value)


def _list(value: Any) -> list[Any]:
    if not isinstance(value, str):
        return items_of(value, what="list")
    charge(len(value))
    hold(0 if value.isascii() else TEXT_BYTES * len(value))
    return list(value)


def _replace(value: Any, old: Any, new: Any) -> str:
    text, old_text, new_text = (text_of(part, what="replace") for part in (value, old, new))
    if not old_text:
        raise Refused("replace needs a text to look for")
    work(len(text))
    charge(len(text) + text.count(old_text) * len(new_text))
    return text.replace(old_text, new_text)


def _reverse(value: Any) -> Any:
    if not isinstance(value, str):
        return items_of(value, what="reverse")[::-1]
    charge(len(value))
    return value[::-1]


def _round(value: Any, digits: Any = 0) -> int | float:
    places = whole_of(digits, what="round")
    if not -20 <= places <= 20:
        raise Refused("round needs -20 to 20 digits")
    rounded = round(number_of(value, what="round"), places)
    return int(rounded) if places <= 0 else rounded


def _order(left: Any, right: Any) -> int:
    return -1 if less(left, right) else int(less(right, left))


_by_order = cmp_to_key(_order)


def _sort(value: Any, reverse: Any = False, attribute: Any = None) -> list[Any]:
    items = items_of(value, what="sort")
    key = _order_of(attribute, items)
    hold(0 if key is None else _ORDER_BYTES * len(items))
    return sorted(items, key=key, reverse=bool(reverse))


def _sort_by(value: Any, attribute: Any, reverse: Any = False) -> list[Any]:
    return _sort(value, reverse, attribute)


def _max(value: Any, attribute: Any = None) -> Any:
    items = items_of(value, what="max")
    return max(each(items), key=_order_of(attribute, items), default=None)


def _min(value: Any, attribute: Any = None) -> Any:
    items = items_of(value, what="min")
    return min(each(items), key=_order_of(attribute, items), default=None)


def _order_of(attribute: Any, items: list[Any]) -> Callable[[Any], Any] | None:
    """Return the key by which items are ordered; None for numbers alone, which Python orders many times as fast.

    Each comparison charges for itself.
    """
    if attribute is None:
        return None if _NUMBERS.issuperset(map(type, items)) else _by_order
    keys = keys_of(attribute)
    return lambda item: _by_order(pluck(item, keys))


def _split(value: Any, separator: Any = None) -> list[str]:
    text = text_of(value, what="split")
    if separator == "":
        raise Refused("split needs a separator")
    at = None if separator is None else text_of(separator, what="split")
    charge(len(text))
    hold(TEXT_BYTES * (1 + _breaks(text, at)))
    return text.split(at)


def _breaks(text: str, separator: str | None) -> int:
    """At most how often a split breaks this text."""
    if separator is not None:
        return text.count(separator)
    return sum(text.count(space) for space in _SPACES) if text.isascii() else len(text) // 2


def _sum(value: Any, attribute: Any = None) -> int | float:
    return bounded(sum(number_of(item, what="sum") for item in each(plucked(value, attribute, what="sum"))))


def _string(value: Any) -> str:
    return made(as_text(value))


def _tojson(value: Any) -> str:
    weigh(value)
    return made(orjson.dumps(value).decode())


def _unique(value: Any, attribute: Any = None) -> list[Any]:
    keys = None if attribute is None else keys_of(attribute)
    seen: dict[str, Any] = {}
    for item in each(items_of(value, what="unique")):
        part = item if keys is None else pluck(item, keys)
        written = _written(part, option=orjson.OPT_SORT_KEYS)
        if written not in seen:
            hold(_SEEN_BYTES)
            seen[written] = item
    return list(seen.values())


def _group(value: Any, attribute: Any) -> list[dict[str, Any]]:
    keys = keys_of(attribute)
    groups: dict[str, dict[str, Any]] = {}
    for item in each(items_of(value, what="groupby")):
        key = pluck(item, keys)
        written = _written(key)
        if written not in groups:
            hold(_GROUP_BYTES)
            groups[written] = {"key": key, "items": []}
        groups[written]["items"].append(item)
    return list(groups.values())


def _written(value: Any, *, option: int | None = None) -> str:
    """Return the value as JSON, to be kept. Not as orjson's bytes: each of these leaves a kilobyte unusable."""
    weigh(value)
    return orjson.dumps(value, option=option).decode()


def _of_text(what: str, convert: Callable[[str], str]) -> Callable[[Any], str]:
    def converted(value: Any) -> str:
        text = text_of(value, what=what)
        # Before it is made; few texts grow, and then by their own length a few times.
        charge(len(text))
        result = convert(text)
        charge(max(0, len(result) - len(text)))
        return result

    return converted


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


# Those of actions.expressions.library are added by actions.expressions.all_filters.
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
    "chunk": _batch,
    "group_by": _group,
    "sort_by": _sort_by,
}


def mapped(value: Any, name: Any = None, *args: Any, attribute: Any = None) -> list[Any]:
    """`map(attribute="a.b")` reads a path of each item; `map("filter", ...)` applies a filter to each item."""
    if attribute is not None:
        return plucked(value, attribute, what="map")
    return [FILTERS[name](item, *args) for item in each(items_of(value, what="map"))]


def selected(value: Any, name: Any = None, *args: Any) -> list[Any]:
    """`select("test", ...)` keeps the items that pass the test; `select()` keeps those that are true."""
    return [item for item in each(items_of(value, what="select")) if _passes(item, name, args)]


def rejected(value: Any, name: Any = None, *args: Any) -> list[Any]:
    return [item for item in each(items_of(value, what="reject")) if not _passes(item, name, args)]


def selected_by(value: Any, attribute: Any, name: Any = None, *args: Any) -> list[Any]:
    """`selectattr("a.b", "test", ...)` keeps the items whose value at that path passes the test."""
    keys = keys_of(attribute)
    return [item for item in each(items_of(value, what="selectattr")) if _passes(pluck(item, keys), name, args)]


def rejected_by(value: Any, attribute: Any, name: Any = None, *args: Any) -> list[Any]:
    keys = keys_of(attribute)
    return [item for item in each(items_of(value, what="rejectattr")) if not _passes(pluck(item, keys), name, args)]


def _passes(value: Any, name: Any, args: Iterable[Any]) -> bool:
    return bool(value) if name is None else bool(TESTS[name](value, *args))


LIST_FILTERS: dict[str, Callable[..., list[Any]]] = {
    "map": mapped,
    "select": selected,
    "reject": rejected,
    "selectattr": selected_by,
    "rejectattr": rejected_by,
}
