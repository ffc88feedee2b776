"""Points in time as people write them, the end of a wait, and times written as text.

A moment is written in ISO 8601 with an offset (`2026-12-01T09:00:00+01:00`, `2026-12-01T09:00Z`) or with the name of a
time zone (`2026-12-01T09:00 Europe/Berlin`), which may also stand beside it, in `timezone`. A date without a time, with
a zone, is the beginning of that day. A number is no moment: 20261231 was taken for seconds since 1970, in August 1970.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from datetime import timezone as fixed_zone
from functools import cache
from typing import Annotated, Any, ClassVar, Self
from zoneinfo import ZoneInfo, available_timezones

import orjson
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from actions.base import ACCEPTED, Config, Use
from actions.durations import Seconds
from actions.nearest import nearest
from actions.texts import described

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
# What an earlier release took for seconds since 1970, or for milliseconds, is kept within these years.
_YEARS_OF_NUMBERS = range(2001, 2200)
_EARLIER: TypeAdapter[datetime] = TypeAdapter(AwareDatetime)


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
    return _within(found, shown=text)


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


def _within(found: datetime | None, *, shown: str) -> datetime:
    if found is None or not _FIRST <= found <= _LAST:
        raise ValueError(f"{shown!r} lies outside of the years 1 to 9999; write {EXAMPLE}")
    return found


def _as_moment(value: Any, info: ValidationInfo) -> Any:
    if value is None:
        return None
    if isinstance(value, datetime) and value.tzinfo is not None:
        try:
            return _within(value.astimezone(UTC), shown=value.isoformat())
        except OverflowError:
            return _within(None, shown=value.isoformat())
    if info.context is ACCEPTED and (found := _of_earlier_release(value)) is not None:
        return found
    if not isinstance(value, str):
        # Pydantic takes a TypeError for a fault of the program.
        raise ValueError(f"must be a moment, not {described(value)}; write {EXAMPLE}")  # noqa: TRY004
    return moment(value, timezone=info.data.get("timezone"))


def _of_earlier_release(value: Any) -> datetime | None:
    """Return the moment of a number, as seconds or milliseconds since 1970, in a version that has been published."""
    try:
        float(value)
        found = _EARLIER.validate_python(value).astimezone(UTC)
    except (ValidationError, OverflowError, TypeError, ValueError):
        return None
    return found if found.year in _YEARS_OF_NUMBERS else None


Zone = Annotated[str, AfterValidator(known_zone)]
Moment = Annotated[datetime | None, BeforeValidator(_as_moment)]


class ZonedConfig(Config):
    """The config fields of a moment: `until`, and the zone that it is meant in."""

    uses: ClassVar[Mapping[str, Use]] = {"until": Use.DECISIVE, "timezone": Use.DECISIVE, "timeout": Use.DECISIVE}

    # Before `until`, which is read in it.
    timezone: Zone | None = Field(
        default=None, description="The time zone of an `until` that has none, such as Europe/Berlin"
    )
    until: Moment = Field(
        default=None, description=f"The moment of its end, in ISO 8601 with an offset or a time zone: {EXAMPLE}"
    )

    @model_validator(mode="after")
    def _zone_of_until(self) -> Self:
        if self.timezone is not None and self.until is None:
            raise ValueError("timezone is the zone of until; give until as well, or leave timezone out")
        return self


class UntilConfig(ZonedConfig):
    """The config fields of a wait that can have an end: `timeout` or `until`, not both."""

    timeout: Seconds | None = Field(default=None, description="How long to wait at most, such as 30s, 2h or 3d")

    @model_validator(mode="after")
    def _not_both(self) -> Self:
        if self.timeout is not None and self.until is not None:
            raise ValueError("give timeout or until, not both")
        return self

    def ends_at(self, now: datetime) -> datetime | None:
        """Return the time at which the wait ends; None if only a signal can end it."""
        if self.until is not None:
            return self.until
        return None if self.timeout is None else now + timedelta(seconds=self.timeout)

    def limit(self) -> str:
        """Return the end as it was given, for a message: `within 30 s` or `by 2026-03-01T09:00:00Z`."""
        return f"by {iso(self.until)}" if self.until is not None else f"within {self.timeout or 0:g} s"


def iso(at: datetime) -> str:
    """Return a time as the API writes it: ISO 8601 in UTC, as `2026-03-01T09:00:00Z`."""
    return orjson.dumps(at.astimezone(UTC), option=orjson.OPT_UTC_Z).decode()[1:-1]


def to_minute(at: datetime) -> str:
    """Return a time for people, to the minute, in UTC: `2026-03-01 09:00 UTC`."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
