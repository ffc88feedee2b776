"""Config fields for moments, the end of a wait, and times written as text (actions.timezones reads them)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, ClassVar, Self

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
from actions.texts import described
from actions.timezones import EXAMPLE, known_zone, moment, within

# What an earlier release took for seconds since 1970, or for milliseconds, is kept within these years.
_YEARS_OF_NUMBERS = range(2001, 2200)
_EARLIER: TypeAdapter[datetime] = TypeAdapter(AwareDatetime)


def _as_moment(value: Any, info: ValidationInfo) -> Any:
    if value is None:
        return None
    if isinstance(value, datetime) and value.tzinfo is not None:
        try:
            return within(value.astimezone(UTC), shown=value.isoformat())
        except OverflowError:
            return within(None, shown=value.isoformat())
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
