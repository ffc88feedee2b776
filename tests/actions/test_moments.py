"""Moments: ISO 8601 with an offset or a named zone; a number, or a text without a zone, is none."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from actions import registry
from actions.base import ACCEPTED, Park
from actions.timezones import moment
from tests.actions.contexts import perform

NINE = datetime(2026, 12, 1, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2026-12-01T09:00:00Z",
        "2026-12-01t09:00z",
        "2026-12-01 09:00:00.000000000+00:00",
        "2026-12-01T10:00+0100",
        "2026-12-01T10:00 +01",
        "2026-12-01T10:00 Europe/Berlin",
        " 2026-12-01T04:00:00,0 America/New_York ",
    ],
)
def test_moment_is_read_with_its_offset_or_zone(text: str) -> None:
    assert moment(text) == NINE


@pytest.mark.parametrize(
    ("text", "zone", "hours"),
    [("2026-12-01", "Europe/Berlin", -10), ("2026-12-01T09:00", "UTC", 0), ("2026-12-01T09:00:00", "Asia/Tokyo", -9)],
)
def test_zone_may_stand_beside_the_moment(text: str, zone: str, hours: int) -> None:
    parked = perform("wait", {"until": text, "timezone": zone})
    assert isinstance(parked, Park)
    assert parked.wake_at == datetime.fromtimestamp(NINE.timestamp() + hours * 3600, UTC)


def test_date_with_a_zone_is_the_beginning_of_the_day() -> None:
    assert moment("2026-12-01 Europe/Berlin") == datetime(2026, 11, 30, 23, tzinfo=UTC)
    assert moment("2026-07-01 UTC") == datetime(2026, 7, 1, tzinfo=UTC)


def test_times_around_a_change_of_clocks_have_one_meaning() -> None:
    assert moment("2026-03-29T02:30 Europe/Berlin") == datetime(2026, 3, 29, 1, 30, tzinfo=UTC), "skipped"
    assert moment("2026-10-25T02:30 Europe/Berlin") == datetime(2026, 10, 25, 0, 30, tzinfo=UTC), "the first of two"


@pytest.mark.parametrize("name", ["wait", "approval", "wait_for_signal"])
@pytest.mark.parametrize(
    "until",
    [
        20261231,
        "20261231",
        1798761600,
        1798761600.5,
        "1798761600",
        True,
        [],
        {},
        "2026-12-01",
        "2026-12-01T09:00",
        "tomorrow",
        "",
        "01.12.2026 09:00 Europe/Berlin",
        "2026-12-01T09:00 Europe/Berlim",
        "2026-12-01T09:00 right/UTC",
        "2026-12-01T09:00 ../../etc/passwd",
        "2026-02-30T09:00Z",
        "2026-12-01T25:00Z",
        "2026-12-01T09:00+30:00",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "0000-01-01T00:00Z",
        "2026-12-01T09:00Z" + " " * 500,
    ],
)
def test_anything_else_is_refused_with_an_example(name: str, until: Any) -> None:
    more = {"approval": {"message": "?", "on_expiry": "approve"}, "wait_for_signal": {"name": "n"}}.get(name, {})
    with pytest.raises(ValidationError, match=r"2026-12-01|Europe/Berlin|\+01:00"):
        perform(name, {"until": until, **more})


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"until": "2026-12-01T09:00Z", "timezone": "UTC"}, "keep one of them"),
        ({"until": "2026-12-01T09:00 UTC", "timezone": "UTC"}, "keep one of them"),
        ({"until": "2026-12-01T09:00", "timezone": "Berlin"}, "is no time zone"),
        ({"for": "1h", "timezone": "UTC"}, "timezone is the zone of until"),
    ],
)
def test_two_zones_or_a_zone_of_nothing_are_refused(config: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        perform("wait", config)


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("sub_workflow", {"workflow": "w", "version": True}),
        ("sub_workflow", {"workflow": "w", "version": "1"}),
        ("sub_workflow", {"workflow": "w", "version": 1.5}),
        ("sub_workflow", {"workflow": "w", "wait": "no"}),
        ("sub_workflow", {"workflow": "w", "wait": 0}),
        ("compute", {"iterations": "10"}),
        ("compute", {"iterations": True}),
        ("flaky", {"failure_rate": "0.5"}),
        ("flaky", {"failure_rate": False}),
        ("http_request", {"url": "http://x", "forward_body": 1}),
        ("sleep", {"seconds": True}),
    ],
)
def test_value_of_another_type_is_refused_but_for_a_config_that_was_accepted_before(
    name: str, config: dict[str, Any]
) -> None:
    of = registry.get(name).config_class
    with pytest.raises(ValidationError):
        of.model_validate(config)
    if config not in ({"seconds": True}, {"workflow": "w", "version": 1.5}):
        of.model_validate(config, strict=False, context=ACCEPTED)


def test_whole_number_may_come_from_a_division() -> None:
    assert registry.get("compute").config_class.model_validate({"iterations": 2.0}).model_dump() == {"iterations": 2}
