"""A sleep of more than a second waits as a row, and occupies no place of its worker."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import LazySettings
from django.db.models import F

from runs.control import stops
from runs.domain.actor import Actor
from runs.engine import thread_pool
from runs.models import StepRun
from runs.planning import plan as plans
from tests.engine import deliver, drain
from tests.flows import begun, published, states, steps, the_run
from tests.runs.engine.test_engine_failures import HOUR, past

pytestmark = pytest.mark.django_db(transaction=True)

NAP = "name: nap\nsteps: [{{id: a, action: sleep, with: {{seconds: {}}}{}}}, {{id: b, action: default}}]"


def _nap(seconds: Any, more: str = "") -> str:
    return NAP.format(seconds, more)


@pytest.mark.parametrize("seconds", [1.5, "2s", 30, "1m"])
def test_a_long_sleep_waits_as_a_row_and_its_run_goes_on_when_its_time_has_come(seconds: Any) -> None:
    [run_id] = begun(published(_nap(seconds)))
    deliver()
    assert states(run_id)["a"] == "waiting"
    assert the_run(run_id).state == "waiting"
    row = steps(run_id)["a"]
    assert row.wake_at is not None
    assert row.process is None
    past()
    drain()
    assert states(run_id) == {"a": "succeeded", "b": "succeeded"}
    assert steps(run_id)["a"].output == {"seconds": {"2s": 2.0, "1m": 60.0}.get(seconds, seconds)}


def test_a_flood_of_long_sleeps_leaves_every_place_free(settings: LazySettings) -> None:
    settings.IO_THREADS, settings.SLOW_STEPS = 2, 0
    thread_pool._forget()
    runs = begun(published(_nap(50)), *[{}] * 40)
    drain()
    assert StepRun.objects.filter(run_id__in=runs, step="a", state="waiting").count() == 40
    [other] = begun(published(_nap(0)))
    drain()
    assert the_run(other).state == "succeeded"


def test_a_sleep_longer_than_its_timeout_fails_when_that_has_passed() -> None:
    [run_id] = begun(published(_nap(50, ", timeout: 2s, retry: {max_attempts: 2, initial: 1s}")))
    deliver()
    row = steps(run_id)["a"]
    assert row.started_at is not None
    assert row.wake_at is not None
    assert (row.wake_at - row.started_at).total_seconds() == pytest.approx(2, abs=1)
    past()
    drain()
    assert states(run_id)["a"] == "retrying"
    past()
    drain()
    assert states(run_id)["a"] == "waiting", "a retry sleeps again"
    past()
    drain()
    row = steps(run_id)["a"]
    assert [tried["outcome"] for tried in row.attempts] == ["timed_out", "timed_out"]
    assert row.error is not None
    assert row.error["kind"] == "timeout"
    assert "longer than the step's timeout of 2 s" in row.error["message"]
    assert the_run(run_id).state == "failed"


def test_a_cancel_ends_a_long_sleep_at_once() -> None:
    [run_id] = begun(published(_nap(50)))
    deliver()
    assert stops.cancel([run_id], actor=Actor()) == {run_id}
    assert states(run_id) == {"a": "cancelled"}
    assert the_run(run_id).state == "cancelled"


def test_long_sleeps_of_a_list_and_of_a_fork_wait_as_rows_too() -> None:
    flow = published(
        """
name: naps
steps:
  - {id: root, action: default}
  - {id: fork, needs: [root], action: sleep, with: {seconds: 5}}
  - {id: each, needs: [root], for_each: {items: [2, 3, 0]}, action: sleep, with: {seconds: "{{ item }}"}}
  - {id: join, needs: [fork, each], action: default}
"""
    )
    [run_id] = begun(flow)
    drain()
    waiting = StepRun.objects.filter(run_id=run_id, state="waiting")
    assert waiting.filter(step="fork").count() == 1
    assert waiting.filter(step="each", item__gte=0).count() == 2
    StepRun.objects.filter(run_id=run_id, wake_at__isnull=False).update(wake_at=F("wake_at") - HOUR)
    drain()
    assert states(run_id)["join"] == "succeeded"
    assert the_run(run_id).state == "succeeded"


def test_a_version_published_before_the_bounds_is_held_to_them(settings: LazySettings) -> None:
    settings.PURE_STEP_MAX_SECONDS, settings.STEP_MAX_SECONDS = 3600, 7 * 86400
    flow = published(
        """
name: early
steps:
  - {id: a, action: default, timeout: 1h, compensate: {action: default, timeout: 50m}}
  - {id: b, action: sleep, with: {seconds: 0}, timeout: 7d}
  - {id: c, action: wait, with: {for: 1s}, timeout: 7d}
finally: [{id: d, action: default, timeout: 1h}]
"""
    )
    plans.load.cache_clear()
    settings.PURE_STEP_MAX_SECONDS, settings.STEP_MAX_SECONDS = 60, 3600
    try:
        plan = plans.load(flow.version.pk)
        found = {step: one.timeout_seconds for step, one in plan.steps.items()}
        assert found == {"a": 60, "undo:a": 60, "b": 3600, "c": 60, "d": 60}
        assert plan.longest_in_thread == 60
        [run_id] = begun(flow)
        drain()
        past()
        drain()
        assert the_run(run_id).state == "succeeded"
    finally:
        plans.load.cache_clear()
