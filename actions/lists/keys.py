"""Values as keys and in order: which are equal, which comes first, and texts that are exact decimals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import orjson

from actions.base import Json
from actions.expressions.library import decimals
from actions.expressions.values import TEXT_BYTES, Refused, as_text, hold, kind, work

# How values are compared: as they are, as numbers (texts as exact decimals), or as texts.
As = Literal["value", "number", "text"]
# What a table keeps for each key.
KEY_BYTES = 160
_MOST_WHOLE = 2**63


def key_of(value: Any) -> tuple[str, Any]:
    """Return a hashable key: equal for values that are equal as JSON. 1 and 1.0 are equal; 1, "1" and true are not."""
    hold(KEY_BYTES)
    if isinstance(value, str):
        work(len(value))
        return "text", value
    if value is None or isinstance(value, bool):
        return "word", value
    if isinstance(value, (int, float)):
        return "number", value
    written = orjson.dumps(_even(value), option=orjson.OPT_SORT_KEYS).decode()
    work(len(written))
    hold(TEXT_BYTES + len(written))
    return "json", written


def _even(value: Any) -> Any:
    """Return a copy in which a number with a point and no fraction, such as 1.0, is written without the point."""
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < _MOST_WHOLE else value
    if isinstance(value, dict):
        work(1 + len(value))
        return {key: _even(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        work(1 + len(value))
        return [_even(part) for part in value]
    return value


def comparable(value: Json, how: As, *, ignore_case: bool = False) -> Any:
    """Return what a value is ordered by. Raises Refused if it has no order in this way."""
    if how == "number":
        return decimals.exact(value, what="number")
    if how == "text":
        if value is None or isinstance(value, (list, dict)):
            raise Refused(f"is {kind(value)}, which has no order as a text")
        value = as_text(value)
    elif isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise Refused(f"is {kind(value)}, which has no order")
    if isinstance(value, str):
        work(len(value))
        return value.casefold() if ignore_case else value
    return value


class OneKind:
    """Sees to it that all values of a column are numbers, or all texts: others cannot be ordered."""

    def __init__(self, how: As, *, ignore_case: bool = False) -> None:
        self._how = how
        self._ignore_case = ignore_case
        self._first: tuple[type, str] | None = None

    def take(self, value: Json, place: Callable[[], str]) -> Any:
        """Return what the value is ordered by. Raises Refused, with its place, if it does not fit the others."""
        try:
            found = comparable(value, self._how, ignore_case=self._ignore_case)
        except Refused as error:
            raise Refused(f"cannot order {place()}: it {error}") from None
        kind_ = str if isinstance(found, str) else float
        if self._first is None:
            self._first = kind_, place()
        elif self._first[0] is not kind_:
            raise Refused(
                f"cannot order {place()}, {kind(value)}, and {self._first[1]}, which is not; "
                "write as: number or as: text to compare both as such"
            )
        return found
