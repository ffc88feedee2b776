"""The end of a wait, given as a timeout or as a point in time; and times written as text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Self

import orjson
from pydantic import AwareDatetime, Field, model_validator

from actions.base import Config
from actions.durations import Seconds


class UntilConfig(Config):
    """The config fields of a wait that can have an end: `timeout` or `until`, not both."""

    timeout: Seconds | None = Field(default=None, description="How long to wait at most, such as 30s, 2h or 3d")
    until: AwareDatetime | None = Field(
        default=None, description="Until when to wait, in ISO 8601 with a time zone, such as 2026-03-01T09:00:00Z"
    )

    @model_validator(mode="after")
    def _not_both(self) -> Self:
        if self.timeout is not None and self.until is not None:
            raise ValueError("give timeout or until, not both")
        return self

    def ends_at(self, now: datetime) -> datetime | None:
        """Return the time at which the wait ends; None if only a signal can end it."""
        if self.until is not None:
            return self.until.astimezone(UTC)
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
