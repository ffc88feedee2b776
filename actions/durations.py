"""Durations as people write them: `30`, `1.5`, `500ms`, `30s`, `5m`, `2h`, `1d`, `1w`."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, Field

_DURATION = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)\s*(ms|s|m|h|d|w)?", re.ASCII)
_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, None: 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def seconds(value: object) -> float:
    """Return the seconds of a number or a string like `30s`. Raises ValueError for anything else."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{str(value)[:40]!r} is no duration; write a number of seconds or a text like 30s, 5m, 2h")
    return float(match[1]) * _UNIT_SECONDS[match[2]]


def seconds_with_unit(text: str) -> float:
    """Return the seconds of a text like `30d`. Raises ValueError also for a number alone: its unit is not known."""
    if text.strip().replace(".", "", 1).isdigit():
        raise ValueError(f"{text[:40]!r} has no unit; write {text.strip()[:20]}d for days, or h, m, s, w")
    return seconds(text)


Seconds = Annotated[float, BeforeValidator(seconds), Field(ge=0, le=366 * 86400, allow_inf_nan=False)]
