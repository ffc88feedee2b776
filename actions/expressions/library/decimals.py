"""Filters for money and other exact decimals, and for numbers as people write them.

A number with a fraction is binary in JSON as everywhere: 0.1 + 0.2 is not 0.3. Here decimals are texts ("19.99"), in
and out; whole numbers are taken as well, and so are numbers with a fraction, in their shortest form.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal, DivisionByZero, InvalidOperation, Overflow
from typing import Any

from actions.expressions.values import Refused, bounded, charge, each, kind, number_of, plucked, text_of, whole_of

# Significant digits of what is taken and what is given.
MOST_DIGITS = 50
_ROUNDINGS = {"half_even": ROUND_HALF_EVEN, "half_up": ROUND_HALF_UP}
_MOST_PLACES = 20
_DECIMAL = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,4})?", re.ASCII)
# Twice as many digits: a product of two is exact, and then it is looked at how long it is.
_context = Context(
    prec=2 * MOST_DIGITS, Emin=-999, Emax=999, traps=[InvalidOperation, DivisionByZero, Overflow], capitals=0
)


def exact(value: Any, *, what: str) -> Decimal:
    """Return a number, or a text of one, as an exact decimal. Raises Refused for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise Refused(f"{what} needs a decimal such as '19.99', not {kind(value)}")
    text = str(value)
    if len(text) > 2 * MOST_DIGITS or _DECIMAL.fullmatch(text) is None:
        raise Refused(f"{what} needs a decimal such as '19.99', not {text[:60]!r}")
    try:
        found = _context.create_decimal(text)
    except (InvalidOperation, Overflow):
        raise Refused(f"{what} has more than {MOST_DIGITS} digits") from None
    return _short(found, what=what)


def _short(found: Decimal, *, what: str) -> Decimal:
    if len(found.as_tuple().digits) > MOST_DIGITS or abs(found.adjusted()) > MOST_DIGITS:
        raise Refused(f"{what} has more than {MOST_DIGITS} digits; round with decimal_round")
    return found


def written(found: Decimal, *, what: str) -> str:
    """Return a decimal as a text, without an exponent. Raises Refused for one of too many digits."""
    text = format(_short(found, what=what), "f")
    charge(len(text))
    return text


def _of_two(what: str, work: Callable[[Decimal, Decimal], Decimal]) -> Callable[[Any, Any], str]:
    def worked_out(value: Any, other: Any) -> str:
        return written(work(exact(value, what=what), exact(other, what=what)), what=what)

    return worked_out


def _places(digits: Any, *, what: str) -> Decimal:
    places = whole_of(digits, what=what)
    if not 0 <= places <= _MOST_PLACES:
        raise Refused(f"{what} needs 0 to {_MOST_PLACES} digits behind the point")
    return Decimal(1).scaleb(-places)


def _rounding(name: Any, *, what: str) -> str:
    if not isinstance(name, str) or name not in _ROUNDINGS:
        raise Refused(f"{what} rounds {' or '.join(_ROUNDINGS)}, not {str(name)[:20]!r}")
    return _ROUNDINGS[name]


def _rounded(found: Decimal, digits: Any, rounding: Any, *, what: str) -> Decimal:
    try:
        return found.quantize(_places(digits, what=what), _rounding(rounding, what=what), _context)
    except InvalidOperation:
        raise Refused(f"{what} has more than {MOST_DIGITS} digits") from None


def added(total: Decimal, value: Any, *, what: str) -> Decimal:
    """Return the exact sum of a decimal and a value. Raises Refused for a value that is none, or too many digits."""
    return _short(_context.add(total, exact(value, what=what)), what=what)


def decimal_divide(value: Any, other: Any, digits: Any = 2, rounding: Any = "half_even") -> str:
    """Divide, and round to so many digits behind the point."""
    what = "decimal_divide"
    left, right = exact(value, what=what), exact(other, what=what)
    if not right:
        raise Refused(f"{what} divides by zero")
    return written(_rounded(_context.divide(left, right), digits, rounding, what=what), what=what)


def decimal_round(value: Any, digits: Any = 2, rounding: Any = "half_even") -> str:
    """Round to so many digits behind the point: half_even as banks do, or half_up as at school."""
    what = "decimal_round"
    return written(_rounded(exact(value, what=what), digits, rounding, what=what), what=what)


def decimal_sum(value: Any, attribute: Any = None) -> str:
    """Add up the decimals of a list, or those at a path of its items."""
    total = Decimal(0)
    for item in each(plucked(value, attribute, what="decimal_sum")):
        total = added(total, item, what="decimal_sum")
    return written(total, what="decimal_sum")


def decimal_compare(value: Any, other: Any) -> int:
    """Return -1, 0 or 1 for a decimal that is less than another one, equal to it, or more."""
    left, right = exact(value, what="decimal_compare"), exact(other, what="decimal_compare")
    return int(left > right) - int(left < right)


def format_number(
    value: Any, decimals: Any = 2, thousands: Any = ",", point: Any = ".", rounding: Any = "half_even"
) -> str:
    """Write a number, or a decimal, with so many digits behind the point and groups of thousands."""
    what = "format_number"
    between, dot = text_of(thousands, what=what), text_of(point, what=what)
    if len(between) > 1 or len(dot) != 1:
        raise Refused(f"{what} needs one character for the point, and at most one between thousands")
    text = written(_rounded(exact(value, what=what), decimals, rounding, what=what), what=what)
    whole, _, fraction = text.partition(".")
    sign, whole = ("-", whole[1:]) if whole.startswith("-") else ("", whole)
    grouped = f"{int(whole):,}".replace(",", between)
    return sign + grouped + (dot + fraction if fraction else "")


def _round_as(rounding: str) -> Callable[..., int | float]:
    what = f"round_{rounding}"

    def rounded(value: Any, digits: Any = 0) -> int | float:
        found = _rounded(exact(number_of(value, what=what), what=what), digits, rounding, what=what)
        return bounded(int(found)) if whole_of(digits, what=what) == 0 else float(found)

    return rounded


FILTERS: dict[str, Callable[..., Any]] = {
    "decimal_add": _of_two("decimal_add", _context.add),
    "decimal_compare": decimal_compare,
    "decimal_divide": decimal_divide,
    "decimal_multiply": _of_two("decimal_multiply", _context.multiply),
    "decimal_round": decimal_round,
    "decimal_subtract": _of_two("decimal_subtract", _context.subtract),
    "decimal_sum": decimal_sum,
    "format_number": format_number,
    "round_half_even": _round_as("half_even"),
    "round_half_up": _round_as("half_up"),
}
