"""The rate limit of a credential, such as `10/s`: how it is written."""

from __future__ import annotations

import re
from typing import NamedTuple

_RATE = re.compile(r"(?P<count>[1-9][0-9]{0,5})/(?P<unit>s|m|h)")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}


class Rate(NamedTuple):
    """At most `uses` in each `seconds`."""

    uses: int
    seconds: float


def parse(text: str) -> Rate | None:
    """Return the rate; None for an empty text. Raises ValueError, which says how to write one."""
    if not text:
        return None
    match = _RATE.fullmatch(text)
    if match is None:
        raise ValueError("must be a count and a unit, as in 10/s, 300/m or 1000/h")
    return Rate(int(match["count"]), _SECONDS[match["unit"]])


def fault(text: str) -> str | None:
    """Return what is wrong with a rate, or None."""
    try:
        parse(text)
    except ValueError as error:
        return str(error)
    return None
