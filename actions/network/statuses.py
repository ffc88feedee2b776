"""The statuses of responses that a step takes for success besides 2xx: numbers, or `4xx` for all that begin with 4."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated

from pydantic import BeforeValidator, Field

from actions.texts import described

_CLASS = re.compile(r"[3-5][xX]{2}")
_LOWEST, _HIGHEST = 300, 599


def _status(given: object) -> object:
    if isinstance(given, str) and _CLASS.fullmatch(given):
        return given.lower()
    if isinstance(given, int) and not isinstance(given, bool) and _LOWEST <= given <= _HIGHEST:
        return given
    raise ValueError(f"must be a status from {_LOWEST} to {_HIGHEST}, or 3xx, 4xx or 5xx, not {described(given)}")


Statuses = Annotated[list[Annotated[int | str, BeforeValidator(_status)]], Field(max_length=50)]


def holds(statuses: Sequence[int | str], status: int) -> bool:
    """Whether a status is one of these."""
    return status in statuses or f"{status // 100}xx" in statuses
