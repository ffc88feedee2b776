"""What the operators of expressions may make: bounded, so that no expression can fill the memory.

Every one works on plain JSON only and charges what it makes (characters and items) to the budget of the
evaluation, so that neither `'a' * 10**9` nor a filter inside a map can take the process's memory or time.
"""

from __future__ import annotations

import math
import threading
from typing import Any

import orjson

# Characters and items that one evaluation may make in all.
BUDGET = 2_000_000
RANGE_LIMIT = 10_000
_INT_LIMIT = 2**63


class Refused(Exception):
    """An operation that an expression may not do on these values; the message says which and why."""


class _Budget(threading.local):
    left = BUDGET


_budget = _Budget()


def refill() -> None:
    """Start the budget of a new evaluation."""
    _budget.left = BUDGET


def charge(units: int) -> None:
    """Count what is about to be made. Raises Refused when the evaluation has made too much."""
    _budget.left -= units
    if _budget.left < 0:
        raise Refused(f"makes too much: an expression may make {BUDGET:,} characters and items in all")


def made(text: str) -> str:
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
    """The items of a list, the keys of an object; charged, because callers walk them."""
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
    """A text as it is, anything else as JSON."""
    if isinstance(value, str):
        return value
    weigh(value)
    return orjson.dumps(value).decode()


def weigh(value: Any) -> None:
    """Charge a value before it is written out, so that a large one is refused before it is made."""
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
    """Numbers, two texts, or two lists."""
    if isinstance(left, str) and isinstance(right, str):
        charge(len(left) + len(right))
        return left + right
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        return [*items_of(left, what="+"), *items_of(right, what="+")]
    if isinstance(left, str) or isinstance(right, str):
        raise Refused(f"+ cannot add {kind(left)} and {kind(right)}; join texts with ~")
    return bounded(number_of(left, what="+") + number_of(right, what="+"))


def multiply(left: Any, right: Any) -> int | float:
    """Numbers only: repeating a text is how memory is filled."""
    return bounded(number_of(left, what="*") * number_of(right, what="*"))


def power(left: Any, right: Any) -> int | float:
    """Numbers only, small exponents."""
    base, exponent = number_of(left, what="**"), number_of(right, what="**")
    if abs(exponent) > 64 and isinstance(base, int) and abs(base) > 1:
        raise Refused("gives a number beyond 64 bits")
    try:
        return bounded(base**exponent)
    except (OverflowError, ZeroDivisionError) as error:
        raise Refused(f"{base} ** {exponent} has no value") from error


def concat(*parts: Any) -> str:
    """`a ~ b`: texts as they are, anything else as JSON."""
    return "".join([made(as_text(part)) for part in parts])


def cut(value: Any, start: Any = None, stop: Any = None, step: Any = None) -> Any:
    """`value[start:stop:step]` of a text or list."""
    if not isinstance(value, (str, list, tuple)):
        raise Refused(f"[:] needs a text or a list, not {kind(value)}")
    bounds = [None if bound is None else whole_of(bound, what="[:]") for bound in (start, stop, step)]
    if bounds[2] == 0:
        raise Refused("[::0] never ends")
    charge(len(value))
    return value[slice(*bounds)]


def range_(*bounds: Any) -> list[int]:
    """Whole numbers, at most 10,000 of them."""
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
