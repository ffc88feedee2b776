"""Points in time as people write them, and time zones.

A moment is written in ISO 8601 with an offset (`2026-12-01T09:00:00+01:00`, `2026-12-01T09:00Z`) or with the name of a
time zone (`2026-12-01T09:00 Europe/Berlin`), which may also stand beside it, in `timezone`. A date without a time, with
a zone, is the beginning of that day. A number is no moment: 20261231 was taken for seconds since 1970, in August 1970.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from datetime import timezone as fixed_zone
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from actions.nearest import nearest

EXAMPLE = "2026-12-01T09:00:00+01:00, 2026-12-01T09:00 Europe/Berlin, or 2026-12-01 Europe/Berlin"
_MOMENT = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)(?:[Tt ](?P<time>\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?))?"
    r"(?: ?(?P<offset>[Zz]|[+-]\d\d(?::?\d\d)?)| (?P<zone>[A-Za-z][A-Za-z0-9_+/-]{0,63}))?",
    re.ASCII,
)
# The zone of the machine, and one that means "not set": neither says what the author means.
_NO_ZONES = frozenset({"localtime", "Factory"})
# A day less than what a datetime holds, so that no zone leads beyond it.
_FIRST, _LAST = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)


def moment(text: str, *, timezone: str | None = None) -> datetime:
    """Return the moment that a text means, in UTC; `timezone` is the zone of a text that has none.

    Where clocks are set back, the first of two equal times is meant; where they are set forward, a time that they skip
    counts from before the change. Raises ValueError, which says how to write a moment.
    """
    match = _MOMENT.fullmatch(text.strip()) if len(text) < 200 else None
    if match is None:
        raise ValueError(f"{text[:60]!r} is no moment; write {EXAMPLE}")
    date, time, offset, zone = match.groups()
    if (offset or zone) and timezone is not None:
        raise ValueError(f"{text!r} has a zone of its own beside timezone: {timezone}; keep one of them")
    if not (offset or zone or timezone):
        raise ValueError(f"{text!r} has no time zone; write {EXAMPLE}, or give timezone beside it")
    here = _offset(offset) if offset else ZoneInfo(known_zone(zone or timezone or ""))
    try:
        read = datetime.fromisoformat(f"{date}T{(time or '00:00').replace(',', '.')}")
        found = read.replace(tzinfo=here).astimezone(UTC)
    except ValueError as error:
        raise ValueError(f"{text!r} is no moment: {error}; write {EXAMPLE}") from None
    except OverflowError:
        found = None
    return within(found, shown=text)


def known_zone(name: str) -> str:
    """Return the name of a time zone as the database of zones writes it. Raises ValueError for an unknown one."""
    if name in _zones():
        return name
    hint = nearest(name, sorted(_zones()))
    raise ValueError(f"{name[:64]!r} is no time zone; write a name such as Europe/Berlin or UTC{hint}")


@cache
def _zones() -> frozenset[str]:
    # Looking for a zone by its name alone would also find files such as right/UTC, whose clock counts leap seconds.
    return frozenset(available_timezones()) - _NO_ZONES


def _offset(text: str) -> tzinfo:
    if text in ("Z", "z"):
        return UTC
    hours, minutes = int(text[1:3]), int(text[3:].lstrip(":") or 0)
    if hours > 18 or minutes > 59:
        raise ValueError(f"{text!r} is no offset from UTC; write one such as +01:00")
    sign = 1 if text[0] == "+" else -1
    return fixed_zone(sign * timedelta(hours=hours, minutes=minutes))


def within(found: datetime | None, *, shown: str) -> datetime:
    """Return the moment. Raises ValueError for one that a datetime in another zone might not hold, or None."""
    if found is None or not _FIRST <= found <= _LAST:
        raise ValueError(f"{shown!r} lies outside of the years 1 to 9999; write {EXAMPLE}")
    return found
