"""Filters for moments. They take and give texts in ISO 8601, with an offset or the name of a time zone.

The day after a day, and the beginning of a month, depend on the zone; without `timezone` it is UTC.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import orjson

from actions.expressions.values import Refused, charge, number_of, text_of, whole_of
from actions.timezones import known_zone, moment

_MOST_FORMAT = 100
_MOST_TEXT = 200
_SECONDS = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86400, "weeks": 7 * 86400}
_STARTS = ("hour", "day", "week", "month", "year")
# What every platform knows alike. `%Z` and the like would depend on the machine.
_DIRECTIVES = frozenset("YmdHIMSpjyBbAafuVGz%")


def _moment(value: Any, *, what: str, timezone: Any = None) -> datetime:
    text = text_of(value, what=what)
    charge(min(len(text), _MOST_TEXT))
    try:
        return moment(text, timezone=None if timezone is None else _name(timezone, what=what))
    except ValueError as error:
        raise Refused(f"{what}: {error}") from None


def _name(timezone: Any, *, what: str) -> str:
    try:
        return known_zone(text_of(timezone, what=what))
    except ValueError as error:
        raise Refused(f"{what}: {error}") from None


def _zone(timezone: Any, *, what: str) -> ZoneInfo:
    return ZoneInfo(_name(timezone, what=what))


def _local(value: Any, timezone: Any, *, what: str) -> datetime:
    """Return a moment as the clocks of a zone show it. A text without a zone of its own is meant in that zone."""
    zone = _zone(timezone, what=what)
    text = text_of(value, what=what)
    try:
        found = _moment(text, what=what)
    except Refused as refused:
        if "has no time zone" not in str(refused):
            raise
        found = _moment(text, what=what, timezone=timezone)
    return _within(lambda: found.astimezone(zone), what=what)


def _within(work: Callable[[], datetime], *, what: str) -> datetime:
    try:
        return work()
    except (OverflowError, ValueError):
        raise Refused(f"{what} leads beyond the years 1 to 9999") from None


def _iso(at: datetime) -> str:
    return orjson.dumps(at.astimezone(UTC), option=orjson.OPT_UTC_Z).decode()[1:-1]


def _utc(local: datetime, *, what: str) -> str:
    return _iso(_within(lambda: local.astimezone(UTC), what=what))


def _checked(pattern: Any, *, what: str) -> str:
    text = text_of(pattern, what=what)
    if len(text) > _MOST_FORMAT:
        raise Refused(f"{what} needs a format of at most {_MOST_FORMAT} characters")
    pieces = text.replace("%%", "").split("%")
    for piece in pieces[1:]:
        if piece[:1] not in _DIRECTIVES:
            known = " ".join(sorted(f"%{letter}" for letter in _DIRECTIVES))
            raise Refused(f"{what} does not know %{piece[:1]}; known are {known}")
    return text


def parse_date(value: Any, format: Any = None, timezone: Any = None) -> str:  # noqa: A002 - its name in expressions
    """Return a date that is written in another form as a moment in UTC."""
    if format is None:
        return _iso(_moment(value, what="parse_date", timezone=timezone))
    text, pattern = text_of(value, what="parse_date"), _checked(format, what="parse_date")
    charge(min(len(text), _MOST_TEXT))
    if len(text) > _MOST_TEXT:
        raise Refused(f"parse_date needs a text of at most {_MOST_TEXT} characters")
    try:
        read = datetime.strptime(text, pattern)  # noqa: DTZ007 - the zone follows
    except ValueError:
        raise Refused(f"parse_date: {text[:60]!r} is not written as {pattern!r} says") from None
    if read.tzinfo is None:
        if timezone is None:
            raise Refused(f"parse_date: {text[:60]!r} has no time zone; give timezone='Europe/Berlin', or 'UTC'")
        read = read.replace(tzinfo=_zone(timezone, what="parse_date"))
    return _utc(read, what="parse_date")


def format_date(value: Any, format: Any, timezone: Any = "UTC") -> str:  # noqa: A002
    """Return a moment in the form of strftime, in a zone."""
    pattern = _checked(format, what="format_date")
    local = _local(value, timezone, what="format_date")
    written = local.strftime(pattern.replace("%Y", f"{local.year:04}").replace("%G", f"{local.isocalendar().year:04}"))
    charge(len(written))
    return written


def in_timezone(value: Any, timezone: Any) -> str:
    """Return a moment with the offset of a zone."""
    written = _local(value, timezone, what="in_timezone").isoformat()
    charge(len(written))
    return written


def add_time(  # noqa: PLR0913, PLR0917 - one for each unit
    value: Any,
    days: Any = 0,
    hours: Any = 0,
    minutes: Any = 0,
    seconds: Any = 0,
    weeks: Any = 0,
    months: Any = 0,
    years: Any = 0,
    timezone: Any = "UTC",
) -> str:
    """Return the moment that much later, or earlier. Years, months, weeks and days are those of the zone's calendar."""
    what = "add_time"
    local = _local(value, timezone, what=what)
    moved = 12 * whole_of(years, what=what) + whole_of(months, what=what)
    whole_days = 7 * whole_of(weeks, what=what) + whole_of(days, what=what)
    rest = sum(number_of(part, what=what) * _SECONDS[unit] for unit, part in _units(hours, minutes, seconds))
    local = _months_later(local, moved, what=what)
    local = _within(lambda: local + timedelta(days=whole_days), what=what)
    # Hours pass in every zone alike.
    return _utc(_within(lambda: local.astimezone(UTC) + timedelta(seconds=rest), what=what), what=what)


def _units(hours: Any, minutes: Any, seconds: Any) -> list[tuple[str, Any]]:
    return [("hours", hours), ("minutes", minutes), ("seconds", seconds)]


def _months_later(local: datetime, months: int, *, what: str) -> datetime:
    """Return the same day of another month, or that month's last day if it is shorter."""
    if not months:
        return local
    year, month = divmod(12 * local.year + local.month - 1 + months, 12)
    if not 1 <= year <= 9999:
        raise Refused(f"{what} leads beyond the years 1 to 9999")
    day = min(local.day, monthrange(year, month + 1)[1])
    return local.replace(year=year, month=month + 1, day=day)


def start_of(value: Any, unit: Any, timezone: Any = "UTC") -> str:
    """Return the moment at which its hour, day, week, month or year began in a zone; weeks begin on Monday."""
    name = text_of(unit, what="start_of")
    if name not in _STARTS:
        raise Refused(f"start_of does not know {name[:20]!r}; known are {', '.join(_STARTS)}")
    local = _local(value, timezone, what="start_of")
    if name == "hour":
        return _utc(local.replace(minute=0, second=0, microsecond=0), what="start_of")
    day = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if name == "week":
        day = _within(lambda: day - timedelta(days=day.weekday()), what="start_of")
    if name in ("month", "year"):
        day = day.replace(day=1)
    if name == "year":
        day = day.replace(month=1)
    return _utc(day, what="start_of")


def date_diff(value: Any, other: Any, unit: Any = "seconds") -> int | float:
    """Return how much later a moment is than another one, in seconds, minutes, hours, days or weeks."""
    name = text_of(unit, what="date_diff")
    if name not in _SECONDS:
        raise Refused(f"date_diff does not know {name[:20]!r}; known are {', '.join(_SECONDS)}")
    passed = _moment(value, what="date_diff") - _moment(other, what="date_diff")
    found = passed / timedelta(seconds=_SECONDS[name])
    return int(found) if found == int(found) else found


def timestamp(value: Any) -> int | float:
    """Return a moment as seconds since 1970."""
    found = _moment(value, what="timestamp").timestamp()
    return int(found) if found == int(found) else found


def from_timestamp(value: Any) -> str:
    """Return the moment that is so many seconds after the beginning of 1970."""
    seconds = number_of(value, what="from_timestamp")
    return _iso(_within(lambda: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds), what="from_timestamp"))


FILTERS: dict[str, Callable[..., Any]] = {
    "add_time": add_time,
    "date_diff": date_diff,
    "format_date": format_date,
    "from_timestamp": from_timestamp,
    "in_timezone": in_timezone,
    "parse_date": parse_date,
    "start_of": start_of,
    "timestamp": timestamp,
}
