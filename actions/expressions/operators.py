"""The operators of expressions. Each accepts plain JSON only, and charges what it makes and looks at to the budget.

So neither `'a' * 10**9` nor a filter inside a map can use up the process's memory or time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import orjson

from actions.expressions.budget import Refused, charge, hold, work

RANGE_LIMIT = 10_000
_INT_LIMIT = 2**63
# Bytes of an empty list and of an empty object, besides their items.
LIST_BYTES = 64
_OBJECT_BYTES = 240
# A text is searched in windows of this many characters, and the time is looked at between them.
_WINDOW = 500_000


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
    if type(value) is int:
        return str(value)
    weigh(value)
    return orjson.dumps(value).decode()


def weigh(value: Any) -> None:
    """Charge the size of a value before it is serialised, so that a large one is refused before memory is used."""
    pending = [value]
    while pending:
        part = pending.pop()
        if isinstance(part, str):
            charge(len(part))
        elif isinstance(part, (list, tuple, dict)):
            # Before they are pending, because that takes memory too.
            charge(1 + len(part))
            if isinstance(part, dict):
                pending.extend(part)
                pending.extend(part.values())
            else:
                pending.extend(part)


def same(left: Any, right: Any) -> bool:
    """Whether two values are equal. Counts what it compares, and looks no further than to the first difference."""
    if not isinstance(left, (list, tuple, dict)):
        return left is right or not _different(left, right)
    pending: list[Iterator[tuple[Any, Any]]] = [iter([(left, right)])]
    while pending:
        for one, other in pending[-1]:
            if one is other:
                continue
            if _different(one, other):
                return False
            if isinstance(one, (list, tuple, dict)):
                pending.append(_pairs(one, other))
                break
        else:
            pending.pop()
    return True


def _different(one: Any, other: Any) -> bool:
    """Whether two values differ; of lists and objects only the length and the keys are compared."""
    if isinstance(one, dict) and isinstance(other, dict):
        work(1 + len(one))
        return one.keys() != other.keys()
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        work(1)
        return len(one) != len(other)
    if isinstance(one, str) and isinstance(other, str) and len(one) == len(other):
        work(len(one))
    work(1)
    return bool(one != other)


def _pairs(one: Any, other: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(one, dict):
        return ((item, other[key]) for key, item in one.items())
    return zip(one, other, strict=True)


def occurs(piece: str, text: str) -> bool:
    """Whether the text contains the piece."""
    if len(piece) > len(text):
        return False
    for at in range(0, max(1, len(text)), _WINDOW):
        end = min(len(text), at + _WINDOW + len(piece))
        work(1 + end - at)
        if text.find(piece, at, end) >= 0:
            return True
    return False


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
