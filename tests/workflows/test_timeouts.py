"""How long an attempt may take is bounded at publish, whatever part of a definition says it."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import LazySettings

from actions import registry
from actions.base import Json
from tests.workflows.definitions import document, faults, step
from workflows.definitions.timeouts import longest_seconds
from workflows.publishing.validate import validate

MONTH = 30 * 86400
ASK: dict[str, Any] = {"action": "http_request", "with": {"url": "https://example.com"}}
# Every registered action is of one of these three kinds.
PURE = sorted(name for name in registry.names() if registry.get(name).pure and not registry.get(name).parks)
PARKS = sorted(name for name in registry.names() if registry.get(name).parks)
OTHERS = sorted({*registry.names()} - {*PURE} - {*PARKS})


def _refused(given: dict[str, Any], path: str) -> str:
    return faults(given)[path]


@pytest.mark.parametrize("seconds", [61, "61s", "2m", "1h", "30d", 60.001, 366 * 86400])
def test_a_pure_step_may_not_take_longer_than_a_minute(seconds: Any) -> None:
    said = _refused(document(step("a", timeout=seconds)), "steps[0].timeout")
    assert "for 60 s at most (PURE_STEP_MAX_SECONDS)" in said
    assert "the action wait" in said


@pytest.mark.parametrize("seconds", [3601, "61m", "2h", "30d", 3600.5])
def test_a_step_that_reaches_outside_may_not_take_longer_than_an_hour(seconds: Any) -> None:
    said = _refused(document({"id": "a", **ASK, "timeout": seconds}), "steps[0].timeout")
    assert "for 3600 s at most (STEP_MAX_SECONDS)" in said


@pytest.mark.parametrize("name", PURE)
def test_the_bound_of_a_minute_holds_for_every_pure_action(name: str, settings: LazySettings) -> None:
    assert longest_seconds(registry.get(name)) == settings.PURE_STEP_MAX_SECONDS
    found = faults(document({"id": "a", "action": name, "timeout": MONTH}))
    assert "PURE_STEP_MAX_SECONDS" in found["steps[0].timeout"]


@pytest.mark.parametrize("name", OTHERS)
def test_the_bound_of_an_hour_holds_for_every_action_that_is_performed(name: str, settings: LazySettings) -> None:
    assert longest_seconds(registry.get(name)) == settings.STEP_MAX_SECONDS
    found = faults(document({"id": "a", "action": name, "timeout": MONTH}))
    assert "STEP_MAX_SECONDS" in found["steps[0].timeout"]


@pytest.mark.parametrize("part", ["on_failure", "finally_"])
def test_the_bound_holds_in_the_parts_that_follow_the_work(part: str) -> None:
    later: list[Json] = [step("b", timeout="1d")]
    given = document(step("a"), **{part: later})
    assert "at most" in _refused(given, f"{part.rstrip('_')}[0].timeout")


def test_the_bound_holds_for_compensations() -> None:
    given = document(step("a", compensate={"action": "default", "timeout": "1d"}))
    assert "at most" in _refused(given, "steps[0].compensate.timeout")


def test_the_bound_holds_for_the_items_of_a_list() -> None:
    given = document(step("a", timeout="1d", for_each={"items": [1]}))
    assert "at most" in _refused(given, "steps[0].timeout")


@pytest.mark.parametrize("seconds", [60, "60s", "1m", 0, 0.5])
def test_up_to_the_bound_a_timeout_is_accepted(seconds: Any) -> None:
    assert validate(document(step("a", timeout=seconds))).warnings == ()
    assert validate(document({"id": "a", **ASK, "timeout": "1h"})).warnings == ()


def test_a_step_that_waits_may_say_any_timeout_and_is_told_that_it_does_not_limit_the_wait() -> None:
    given = document({"id": "a", "action": "wait", "with": {"for": "30d"}, "timeout": "31d"})
    [warning] = validate(given).warnings
    assert "steps[0].timeout is 2.6784e+06 s, but counts as 60 s" in warning
    assert "never the wait itself" in warning


def test_the_bounds_are_settings(settings: LazySettings) -> None:
    settings.PURE_STEP_MAX_SECONDS, settings.STEP_MAX_SECONDS = 600, 300
    assert "for 300 s at most (STEP_MAX_SECONDS)" in _refused(document(step("a", timeout=301)), "steps[0].timeout")
    validate(document(step("a", timeout=300)))
    settings.STEP_MAX_SECONDS = 7200
    validate(document({"id": "a", **ASK, "timeout": "2h"}))


def test_the_timeout_of_a_run_is_no_attempt_and_may_be_long() -> None:
    assert validate(document(step("a"), timeout="30d")).definition.timeout == MONTH


@pytest.mark.parametrize(
    ("config", "timeout", "says"),
    [
        (60, 30, "is 60 s, longer than the step's timeout of 30 s"),
        ("2m", "90s", "is 120 s, longer than the step's timeout of 90 s"),
        ("1.5", 1, "is 1.5 s, longer than the step's timeout of 1 s"),
        ("2h", None, "is 7200 s, longer than 3600 s (STEP_MAX_SECONDS)"),
    ],
)
def test_a_request_may_not_take_longer_than_its_step(config: Any, timeout: Any, says: str) -> None:
    asked: dict[str, Json] = {"action": "http_request", "with": {"url": "https://example.com", "timeout": config}}
    given = {**asked, "timeout": timeout} if timeout is not None else asked
    assert says in _refused(document({"id": "a", **given}), "steps[0].with.timeout")
    undone = document(step("a", compensate=given))
    assert says in _refused(undone, "steps[0].compensate.with.timeout")
    assert says in _refused(document(step("a"), finally_=[{"id": "b", **given}]), "finally[0].with.timeout")


@pytest.mark.parametrize(("config", "timeout"), [(30, 30), ("1m", "61s"), ("1h", None), ("{{ input.t }}", 1)])
def test_a_request_may_take_as_long_as_its_step(config: Any, timeout: Any) -> None:
    asked: Json = {"url": "https://example.com", "timeout": config}
    validate(document({"id": "a", "action": "http_request", "with": asked, "timeout": timeout}))


def test_a_window_that_its_batch_makes_smaller_is_a_warning() -> None:
    each: dict[str, Json] = {"items": [1], "max_parallel": 50, "batch": 20}
    [warning] = validate(document(step("a", for_each=each))).warnings
    assert "max_parallel is 50, but no more than 20 items are open at once" in warning
    assert validate(document(step("a", for_each={"items": [1], "batch": 5}))).warnings == ()
