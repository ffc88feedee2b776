"""Runs that are stopped, by a cancel or by their own timeout: what runs answers first, then they end in order."""

from __future__ import annotations

import time
from typing import ClassVar
from uuid import UUID

import pytest
from django.db.models import F
from pytest_django import Settings

from actions import registry
from actions.base import Action, Cancelled, Config, Context, Json
from runs.control import pauses, preconditions, retries, stops
from runs.domain.states import StepState
from runs.engine import lease
from runs.maintenance.sweep import sweep
from runs.models import DeadLetter, Process, Run, Ticket
from tests.engine import deliver, drain, link_by_link, messages, perform, state
from tests.flows import begun, published, states, steps, the_run
from tests.runs.engine.test_engine_endings import ACTOR, BROKEN, claimed, error, order, record
from tests.runs.engine.test_engine_failures import HOUR, past
from tests.runs.locks import in_thread, locked_run, wait_for_waiter
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

LONG = """
name: long
steps:
  - {id: a, action: sleep, with: {seconds: 0}, compensate: {action: default}}
  - {id: b, action: default}
on_failure: [{id: alert, action: default}]
finally: [{id: tidy, action: transform, with: {set: {outcome: "{{ run.outcome }}"}}}]
"""


def test_a_cancelled_run_waits_for_its_running_step_then_does_finally_and_undoes_nothing() -> None:
    [run_id] = begun(published(LONG))
    claimed(run_id, "a")
    assert stops.cancel([run_id], actor=ACTOR) == {run_id}
    run = the_run(run_id)
    assert (run.state, run.ending) == ("running", "cancelled")
    drain()
    assert states(run_id) == {"a": "running"}
    assert stops.cancel([run_id], actor=ACTOR) == frozenset()
    assert record(run_id, "a", StepState.SUCCEEDED)
    drain()
    assert states(run_id) == {"a": "succeeded", "tidy": "succeeded"}
    assert steps(run_id)["tidy"].output == {"outcome": "cancelled"}
    run = the_run(run_id)
    assert (run.state, run.ending, run.error) == ("cancelled", None, None)
    assert run.finished_at is not None


class Attentive(Action[Config]):
    """Occupies a worker until its run is stopped."""

    name: ClassVar[str] = "attentive"
    config_class: ClassVar[type[Config]] = Config

    def perform(self, config: Config, context: Context) -> Json:
        ends = time.monotonic() + 50
        while time.monotonic() < ends:
            if context.cancelled():
                raise Cancelled()
            time.sleep(0.1)
        return None


@pytest.mark.parametrize("last", ["", "finally: [{id: tidy, action: default}]"])
def test_a_running_step_is_told_of_a_cancel_by_its_processs_heartbeat(
    last: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.PROCESS_LEASE_SECONDS = 2.0
    monkeypatch.setitem(registry.ACTIONS, "attentive", f"{__name__}.Attentive")
    flow = published(f"name: told{len(last)}\nsteps: [{{id: a, action: attentive}}]\n{last}")
    [run_id] = begun(flow)
    with in_thread(deliver):
        wait_for(lambda: states(run_id) == {"a": "running"}, what="the step's start")
        stops.cancel([run_id], actor=ACTOR)
        wait_for(lambda: states(run_id)["a"] == "cancelled", what="the step's early end")
    drain()
    row = steps(run_id)["a"]
    assert row.attempts[0]["outcome"] == "cancelled"
    assert row.finished_at is not None
    assert state(run_id) == "cancelled"
    assert ("tidy" in states(run_id)) == bool(last)


def test_what_follows_the_work_of_a_stopped_run_is_not_told_to_stop() -> None:
    flow = published(
        "name: untold\nsteps: [{id: a, action: default}]\nfinally: [{id: tidy, action: sleep, with: {seconds: 1}}]"
    )
    [run_id] = begun(flow)
    stops.cancel([run_id], actor=ACTOR)
    with in_thread(drain):
        wait_for(lambda: "tidy" in states(run_id), what="the finally step")
        lease.unclaimed(lease.current())  # the look of a heartbeat
    assert states(run_id)["tidy"] == "succeeded"


def test_a_step_that_fails_after_a_cancel_is_neither_retried_nor_a_dead_letter() -> None:
    for result, told in ((StepState.RETRYING, {}), (StepState.FAILED, {"dead_reason": "failed", "error": {}})):
        [run_id] = begun(published(LONG))
        claimed(run_id, "a")
        stops.cancel([run_id], actor=ACTOR)
        record(run_id, "a", result, **told)
        drain()
        assert states(run_id)["a"] in ("cancelled", "failed")
        assert state(run_id) == "cancelled"
        assert not DeadLetter.objects.filter(run_id=run_id).exists()
        lease.give_up()


def test_a_run_that_was_cancelled_while_its_worker_died_still_does_finally() -> None:
    [run_id] = begun(published(LONG))
    claimed(run_id, "a")
    stops.cancel([run_id], actor=ACTOR)
    Process.objects.update(expires_at=F("expires_at") - HOUR)
    lease.give_up()
    sweep()
    drain()
    assert states(run_id) == {"a": "cancelled", "tidy": "succeeded"}
    assert state(run_id) == "cancelled"


def test_a_queued_run_with_finally_ends_at_once_when_cancelled() -> None:
    [run_id] = begun(published(LONG))
    Ticket.objects.all().delete()
    Run.objects.filter(id=run_id).update(state="queued", started_at=None)
    stops.cancel([run_id], actor=ACTOR)
    drain()
    assert (state(run_id), states(run_id)) == ("cancelled", {})


def test_a_run_that_is_ending_can_no_longer_be_cancelled() -> None:
    undo = "compensate: {action: wait, with: {for: 30m}}"
    flow = published(
        f"name: undoing\nsteps: [{{id: a, action: default, {undo}}}, {{id: b, action: fail, with: {{message: no}}}}]"
    )
    [run_id] = begun(flow)
    drain()
    assert stops.cancel([run_id], actor=ACTOR) == frozenset()
    assert state(run_id) == "compensating"
    past()
    drain()
    assert state(run_id) == "compensated"


def test_a_cancel_that_waits_for_the_record_that_begins_the_compensation_changes_nothing() -> None:
    [run_id] = begun(published(BROKEN))
    with link_by_link():
        while "note" not in states(run_id):
            deliver()
    [last] = messages()
    with locked_run(run_id) as other, in_thread(lambda: perform(last)):
        first = wait_for_waiter()
        with in_thread(lambda: stops.cancel([run_id], actor=ACTOR)):
            wait_for_waiter(after=first)
            other.commit()
    drain()
    assert state(run_id) == "compensated"
    assert not Run.objects.get(id=run_id).interventions.exists()


def test_a_record_that_waits_for_a_cancel_begins_no_compensation() -> None:
    [run_id] = begun(published(BROKEN))
    with link_by_link():
        while "note" not in states(run_id):
            deliver()
    [last] = messages()
    with locked_run(run_id) as other, in_thread(lambda: stops.cancel([run_id], actor=ACTOR)):
        first = wait_for_waiter()
        with in_thread(lambda: perform(last)):
            wait_for_waiter(after=first)
            other.commit()
    drain()
    assert state(run_id) == "cancelled"
    assert states(run_id)["tidy"] == "succeeded"
    assert "undo:hotel" not in states(run_id)


def overdue(run_id: UUID) -> None:
    Run.objects.filter(id=run_id).update(deadline=F("deadline") - HOUR)


def test_a_run_past_its_timeout_fails_like_any_other() -> None:
    [run_id] = begun(published(LONG.replace("name: long", "name: timed\ntimeout: 10m")))
    claimed(run_id, "a")
    sweep()
    assert (state(run_id), the_run(run_id).ending) == ("running", None), "its time has not come"
    overdue(run_id)
    sweep()
    assert (state(run_id), the_run(run_id).ending) == ("running", "failed")
    drain()
    assert states(run_id) == {"a": "running"}, "what runs is answered first"
    record(run_id, "a", StepState.SUCCEEDED)
    drain()
    assert order(run_id) == ["a", "undo:a", "alert", "tidy"]
    assert states(run_id)["a"] == "compensated", "it succeeded after the run had failed"
    assert state(run_id) == "compensated"
    assert error(run_id)["kind"] == "timeout"
    assert error(run_id)["reason"] == "timed_out"
    assert "600 s" in error(run_id)["message"]


def test_a_plain_run_past_its_timeout_fails_at_once_with_what_waits_in_it() -> None:
    flow = published(
        "name: plain\ntimeout: 1m\nsteps: [{id: a, action: default}, {id: n, action: wait, with: {for: 1h}}]"
    )
    late, early = begun(flow, {}, {})
    drain()
    overdue(late)
    sweep()
    assert (state(late), states(late)) == ("failed", {"a": "succeeded", "n": "cancelled"})
    assert state(early) == "waiting"
    assert retries.retry([late], actor=ACTOR) == frozenset()


def test_a_run_without_a_timeout_has_no_deadline() -> None:
    [run_id] = begun(published(LONG))
    assert the_run(run_id).deadline is None


def test_a_paused_run_is_let_go_by_a_cancel_and_does_finally() -> None:
    [run_id] = begun(published(LONG))
    pauses.pause([run_id], actor=ACTOR)
    stops.cancel([run_id], actor=ACTOR)
    drain()
    assert (state(run_id), states(run_id)) == ("cancelled", {"tidy": "succeeded"})


def test_a_run_that_is_paused_on_its_way_to_its_end_says_so_to_a_cancel() -> None:
    flow = published(
        """
name: held
steps: [{id: a, action: fail, compensate: {action: default}}]
finally: [{id: nap, action: wait, with: {for: 1h}}, {id: tidy, action: default}]
"""
    )
    [run_id] = begun(flow)
    drain()
    assert pauses.pause([run_id], actor=ACTOR) == {run_id}
    assert stops.cancel([run_id], actor=ACTOR) == frozenset()
    told = preconditions.cannot_cancel(run_id, state(run_id))
    assert told == "the run is waiting, on its way to its end (failed), and paused: resume it, or terminate it"
    past()
    drain()
    assert state(run_id) == "running", "a pause holds what follows the work, too"
    assert pauses.resume([run_id], actor=ACTOR) == {run_id}
    drain()
    assert state(run_id) == "failed"


def test_a_paused_run_comes_to_its_timeout_when_it_is_resumed() -> None:
    [run_id] = begun(published(LONG.replace("name: long", "name: held\ntimeout: 10m")))
    pauses.pause([run_id], actor=ACTOR)
    overdue(run_id)
    sweep()
    assert (state(run_id), the_run(run_id).ending) == ("running", None)
    pauses.resume([run_id], actor=ACTOR)
    sweep()
    drain()
    assert (state(run_id), order(run_id)) == ("failed", ["alert", "tidy"])


def test_a_retry_by_hand_begins_the_timeout_anew() -> None:
    flow = published("name: again\ntimeout: 10m\nsteps: [{id: a, action: transform, with: {select: [email]}}]")
    [run_id] = begun(flow, {})
    drain()
    assert state(run_id) == "failed"
    overdue(run_id)
    assert retries.retry([run_id], actor=ACTOR, inputs={(run_id, "a"): {"email": 1}}) == {run_id}
    sweep()
    drain()
    assert state(run_id) == "succeeded"
