"""Filters for lists and objects as a whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actions.expressions.values import (
    LIST_BYTES,
    Refused,
    charge,
    each,
    hold,
    items_of,
    keys_of,
    kind,
    pluck,
    same,
    whole_of,
    work,
)

_OBJECT_BYTES = 240
_MOST_LEVELS = 20


def _object(value: Any, *, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Refused(f"{what} needs an object, not {kind(value)}")
    return value


def _some(value: Any, keys: tuple[Any, ...], *, what: str, wanted: bool) -> Any:
    if not keys or not all(isinstance(key, str) for key in keys):
        raise Refused(f"{what} needs keys, such as {what}('id', 'name')")
    names = frozenset(keys)
    if isinstance(value, list):
        return [_of_object(_object(item, what=what), names, wanted=wanted) for item in each(items_of(value, what=what))]
    return _of_object(_object(value, what=what), names, wanted=wanted)


def _of_object(value: dict[str, Any], names: frozenset[str], *, wanted: bool) -> dict[str, Any]:
    work(len(value))
    found = {key: item for key, item in value.items() if (key in names) is wanted}
    charge(len(found))
    hold(_OBJECT_BYTES + LIST_BYTES * len(found))
    return found


def pick(value: Any, *keys: Any) -> Any:
    """Return an object with these keys only; of a list, each object so."""
    return _some(value, keys, what="pick", wanted=True)


def without(value: Any, *keys: Any) -> Any:
    """Return an object without these keys; of a list, each object so."""
    return _some(value, keys, what="without", wanted=False)


def where(value: Any, attribute: Any, wanted: Any = True) -> list[Any]:
    """Return the items of a list whose value at a path is this one."""
    keys = keys_of(attribute)
    return [item for item in each(items_of(value, what="where")) if same(pluck(item, keys), wanted)]


def zip_with(value: Any, other: Any) -> list[list[Any]]:
    """Return pairs of the items of two lists that are equally long."""
    left, right = items_of(value, what="zip"), items_of(other, what="zip")
    if len(left) != len(right):
        raise Refused(f"zip needs lists of the same length, not of {len(left):,} and {len(right):,}")
    charge(2 * len(left))
    hold(LIST_BYTES * len(left))
    return [[one, right[at]] for at, one in enumerate(each(left))]


def flatten(value: Any, levels: Any = 1) -> list[Any]:
    """Return a list in which each item that is a list is replaced by its items, so many levels deep."""
    deep = whole_of(levels, what="flatten")
    if not 1 <= deep <= _MOST_LEVELS:
        raise Refused(f"flatten goes 1 to {_MOST_LEVELS} levels deep")
    if not isinstance(value, list):
        raise Refused(f"flatten needs a list, not {kind(value)}")
    found = items_of(value, what="flatten")
    for _ in range(deep):
        if not any(isinstance(item, list) for item in each(found)):
            break
        charge(sum(len(item) if isinstance(item, list) else 1 for item in each(found)))
        found = [part for item in each(found) for part in (item if isinstance(item, list) else [item])]
    return found


def keys(value: Any) -> list[str]:
    """Return the keys of an object."""
    return items_of(_object(value, what="keys"), what="keys")


def values(value: Any) -> list[Any]:
    """Return the values of an object."""
    found = _object(value, what="values")
    charge(len(found))
    return list(found.values())


def from_items(value: Any) -> dict[str, Any]:
    """Return an object from pairs of a key and a value; the last one with a key counts."""
    found: dict[str, Any] = {}
    for pair in each(items_of(value, what="from_items")):
        if not isinstance(pair, list) or len(pair) != 2 or not isinstance(pair[0], str):
            raise Refused("from_items needs a list of pairs such as ['key', 1]")
        hold(2 * LIST_BYTES)
        found[pair[0]] = pair[1]
    return found


def merge(value: Any, other: Any, deep: Any = False) -> dict[str, Any]:
    """Return an object with the keys of both; the second one wins. With `deep`, objects in them are merged too."""
    return _merged(_object(value, what="merge"), _object(other, what="merge"), deep=bool(deep), level=0)


def _merged(left: dict[str, Any], right: dict[str, Any], *, deep: bool, level: int) -> dict[str, Any]:
    charge(len(left) + len(right))
    hold(_OBJECT_BYTES + LIST_BYTES * (len(left) + len(right)))
    found = {**left, **right}
    if deep and level < _MOST_LEVELS:
        for key in each([key for key in right if isinstance(left.get(key), dict) and isinstance(right[key], dict)]):
            found[key] = _merged(left[key], right[key], deep=True, level=level + 1)
    return found


def coalesce(value: Any, *others: Any) -> Any:
    """Return the first that is not null."""
    return next((one for one in (value, *others) if one is not None), None)


FILTERS: dict[str, Callable[..., Any]] = {
    "coalesce": coalesce,
    "flatten": flatten,
    "from_items": from_items,
    "keys": keys,
    "merge": merge,
    "pick": pick,
    "values": values,
    "where": where,
    "without": without,
    "zip": zip_with,
}
