"""The operators of expressions. Each accepts plain JSON only, and charges what it makes to the budget.

So neither `'a' * 10**9` nor a filter inside a map can use up the process's memory or time.
"""

from __future__ import annotations

from typing import Any

from actions.expressions.values import (
    LIST_BYTES,
    Refused,
    as_text,
    bounded,
    charge,
    hold,
    items_of,
    kind,
    made,
    number_of,
    whole_of,
)

RANGE_LIMIT = 10_000
# Bytes of an empty object, besides its items.
_OBJECT_BYTES = 240


def add(left: Any, right: Any) -> Any:
    """`a + b`: two numbers, two strings, or two lists."""
    if isinstance(left, str) and isinstance(right, str):
        charge(len(left) + len(right))
        return left + right
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        return [*items_of(left, what="+"), *items_of(right, what="+")]
    if isinstance(left, str) or isinstance(right, str):
        raise Refused(f"+ cannot add {kind(left)} and {kind(right)}; join texts with ~")
    return bounded(number_of(left, what="+") + number_of(right, what="+"))


def multiply(left: Any, right: Any) -> int | float:
    """`a * b`: numbers only, because repeating a string is the easy way to use up memory."""
    return bounded(number_of(left, what="*") * number_of(right, what="*"))


def power(left: Any, right: Any) -> int | float:
    """`a ** b`: numbers only. With an integer base other than 0, 1 and -1, the exponent is from -64 to 64."""
    base, exponent = number_of(left, what="**"), number_of(right, what="**")
    if abs(exponent) > 64 and isinstance(base, int) and abs(base) > 1:
        raise Refused("gives a number beyond 64 bits")
    try:
        return bounded(base**exponent)
    except (OverflowError, ZeroDivisionError) as error:
        raise Refused(f"{base} ** {exponent} has no value") from error


def number(value: Any, operator: str) -> Any:
    """Return an operand of `-`, `/`, `//` or `%` for MiniJinja, whose message would contain the whole of a list."""
    if not isinstance(value, (int, float)):
        raise Refused(f"{operator} needs numbers, not {kind(value)}")
    return value


def list_(*items: Any) -> list[Any]:
    """`[a, b]`: a list of our own, so that MiniJinja copies no item."""
    hold(LIST_BYTES)
    charge(len(items))
    return list(items)


def object_(*pairs: Any) -> dict[str, Any]:
    """`{"a": b}`, given as a, b: an object of our own."""
    hold(_OBJECT_BYTES)
    charge(len(pairs))
    return dict(zip(pairs[::2], pairs[1::2], strict=True))


def concat(*parts: Any) -> str:
    """`a ~ b`: joins strings as they are, other values as JSON."""
    return "".join([made(as_text(part)) for part in parts])


def cut(value: Any, start: Any = None, stop: Any = None, step: Any = None) -> Any:
    """`value[start:stop:step]` of a string or list."""
    if not isinstance(value, (str, list, tuple)):
        raise Refused(f"[:] needs a text or a list, not {kind(value)}")
    bounds = [None if bound is None else whole_of(bound, what="[:]") for bound in (start, stop, step)]
    if bounds[2] == 0:
        raise Refused("[::0] never ends")
    chosen = slice(*bounds)
    charge(len(range(*chosen.indices(len(value)))))
    return value[chosen]


def range_(*bounds: Any) -> list[int]:
    """`range(start, stop, step)`: at most 10,000 integers."""
    if not 1 <= len(bounds) <= 3:
        raise Refused("range needs one to three numbers")
    whole = [whole_of(bound, what="range") for bound in bounds]
    if len(whole) == 3 and whole[2] == 0:
        raise Refused("range with step 0 never ends")
    numbers = range(*whole)
    if numbers and (abs(numbers[-1] - numbers[0]) // abs(numbers.step)) >= RANGE_LIMIT:
        raise Refused(f"range makes more than {RANGE_LIMIT:,} numbers")
    charge(len(numbers))
    return list(numbers)
