"""The tests that expressions may use, as in `is even` or `select("gt", 3)`; comparisons are made by them, too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actions.expressions.budget import Refused, each, work
from actions.expressions.operators import as_text, kind, occurs, same, text_of, whole_of

# A list is searched at once for a number or a text of at most this length; item by item for anything else.
_SHORT = 100


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def less(left: Any, right: Any) -> bool:
    comparable = _is_number(left) and _is_number(right)
    if not comparable and not (isinstance(left, str) and isinstance(right, str)):
        raise Refused(f"cannot order {kind(left)} and {kind(right)}")
    work(min(len(left), len(right)) if isinstance(left, str) else 1)
    return bool(left < right)


def _remainder(value: Any, divisor: Any) -> int:
    if not divisor:
        raise Refused("divides by zero")
    return whole_of(value, what="divisibleby") % whole_of(divisor, what="divisibleby")


def _contains(value: Any, container: Any) -> bool:
    if isinstance(container, str):
        return isinstance(value, (str, int, float)) and occurs(as_text(value), container)
    if isinstance(container, dict):
        return isinstance(value, str) and value in container
    if not isinstance(container, (list, tuple)):
        raise Refused(f"in needs a list, an object or a text, not {kind(container)}")
    if isinstance(value, (list, tuple, dict)) or (isinstance(value, str) and len(value) > _SHORT):
        return any(same(value, item) for item in each(container))
    work(len(container))
    return value in container


def _starts(value: Any, head: Any) -> bool:
    text, wanted = text_of(value, what="startingwith"), text_of(head, what="startingwith")
    work(len(wanted))
    return text.startswith(wanted)


def _ends(value: Any, end: Any) -> bool:
    text, wanted = text_of(value, what="endingwith"), text_of(end, what="endingwith")
    work(len(wanted))
    return text.endswith(wanted)


TESTS: dict[str, Callable[..., bool]] = {
    "boolean": lambda value: isinstance(value, bool),
    "divisibleby": lambda value, by: _remainder(value, by) == 0,
    "endingwith": _ends,
    "eq": same,
    "equalto": same,
    "even": lambda value: _remainder(value, 2) == 0,
    "false": lambda value: value is False,
    "float": lambda value: isinstance(value, float),
    "ge": lambda left, right: not less(left, right),
    "gt": lambda left, right: less(right, left),
    "in": _contains,
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "le": lambda left, right: not less(right, left),
    "lt": less,
    "mapping": lambda value: isinstance(value, dict),
    "ne": lambda left, right: not same(left, right),
    "none": lambda value: value is None,
    "number": _is_number,
    "odd": lambda value: _remainder(value, 2) == 1,
    "sequence": lambda value: isinstance(value, (list, tuple)),
    "startingwith": _starts,
    "string": lambda value: isinstance(value, str),
    "true": lambda value: value is True,
}
