"""The operators of expressions, and the budget that bounds what one evaluation may build.

Each operator accepts plain JSON only, and charges the characters and items that it builds to the evaluation's budget.
So neither `'a' * 10**9` nor a filter inside a map can use up the process's memory or time.
"""

from __future__ import annotations

import math
import threading
from typing import Any

import orjson

# How many characters and items one evaluation may build in all.
BUDGET = 2_000_000
RANGE_LIMIT = 10_000
_INT_LIMIT = 2**63


class Refused(Exception):
    """An operation that is refused for these values; the message says which operation, and why."""


class _Budget(threading.local):
    left = BUDGET


_budget = _Budget()


def refill() -> None:
    """Reset this thread's budget, for a new evaluation."""
    _budget.left = BUDGET


def charge(units: int) -> None:
    """Subtract what is about to be built from the budget. Raises Refused when the budget is used up."""
    _budget.left -= units
    if _budget.left < 0:
        raise Refused(f"makes too much: an expression may make {BUDGET:,} characters and items in all")


def made(text: str) -> str:
    """Charge a string that was just built, and return it."""
    charge(len(text))
    return text


def kind(value: Any) -> str:
    """The JSON name of a value's type, for messages."""
    if value is None:
        return "null"
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a text", list: "a list"}
    return names.get(type(value), "an object")


def text_of(value: Any, *, what: str) -> str:
    if not isinstance(value, str):
        raise Refused(f"{what} needs a text, not {kind(value)}")
    return value


def items_of(value: Any, *, what: str) -> list[Any]:
    """Return the items of a list or the keys of an object. Charged, because callers iterate over them."""
    if not isinstance(value, (list, tuple, dict)):
        raise Refused(f"{what} needs a list, not {kind(value)}")
    charge(len(value))
    return list(value)


def number_of(value: Any, *, what: str) -> int | float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Refused(f"{what} needs a number, not {kind(value)}")
    return value


def whole_of(value: Any, *, what: str) -> int:
    number = number_of(value, what=what)
    if number != int(number):
        raise Refused(f"{what} needs a whole number, not {number}")
    return int(number)


def bounded(number: int | float) -> int | float:
    if isinstance(number, complex) or not math.isfinite(number):
        raise Refused("gives no number")
    if isinstance(number, int) and not -_INT_LIMIT <= number < _INT_LIMIT:
        raise Refused("gives a number beyond 64 bits")
    return number


def as_text(value: Any) -> str:
    """Return a string as it is, any other value as JSON."""
    if isinstance(value, str):
        return value
    weigh(value)
    return orjson.dumps(value).decode()


def weigh(value: Any) -> None:
    """Charge the size of a value before it is serialised, so that a large one is refused before memory is used."""
    pending = [value]
    while pending:
        part = pending.pop()
        charge(len(part) if isinstance(part, str) else 1)
        if isinstance(part, dict):
            pending.extend(part)
            pending.extend(part.values())
        elif isinstance(part, (list, tuple)):
            pending.extend(part)


# Operators.


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
    charge(len(value))
    return value[slice(*bounds)]


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
