"""Retries, waits, timeouts and what PostgreSQL refuses."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db.models import F

from runs.control import retries
from runs.domain.actor import Actor
from runs.engine import lease
from runs.maintenance import invariants
from runs.maintenance.sweep import sweep
from runs.models import DeadLetter, Process, Run, StepRun, Ticket
from tests.engine import claim, drain
from tests.flows import begun, published, states, steps, the_run
from tests.runs.engine.refusing import refusing

pytestmark = pytest.mark.django_db(transaction=True)

HOUR = timedelta(hours=1)


def past() -> None:
    """Let an hour pass for every ticket and wait."""
    Ticket.objects.update(due_at=F("due_at") - HOUR, knock_at=F("knock_at") - HOUR)
    StepRun.objects.filter(wake_at__isnull=False).update(wake_at=F("wake_at") - HOUR)


def test_a_transient_failure_is_retried_until_the_attempts_are_used_up() -> None:
    flow = published(
        """
name: flaky-always
steps:
  - {id: a, action: flaky, with: {failure_rate: 1}, retry: {max_attempts: 3, initial: 5s}}
"""
    )
    [run_id] = begun(flow)
    for attempt in (1, 2):
        drain()
        row = steps(run_id)["a"]
        assert (row.state, row.attempt) == ("retrying", attempt)
        ticket = Ticket.objects.get(run_id=run_id)
        drain()
        assert steps(run_id)["a"].attempt == attempt, "it ran before it was due"
        assert row.started_at is not None
        assert ticket.due_at - row.started_at > timedelta(seconds=4)
        past()
    drain()
    row = steps(run_id)["a"]
    assert (row.state, row.attempt) == ("failed", 3)
    assert [tried["number"] for tried in row.attempts] == [1, 2, 3]
    assert the_run(run_id).state == "failed"
    assert DeadLetter.objects.get(run_id=run_id).attempts == row.attempts


def test_a_pure_step_retries_where_its_policy_says_so() -> None:
    flow = published(
        "name: pure-retry\nsteps: [{id: a, action: transform, with: {select: [gone]}, retry: {max_attempts: 2}}]"
    )
    [run_id] = begun(flow, {"x": 1})
    drain()
    past()
    drain()
    assert the_run(run_id).state == "failed"


def test_a_wait_parks_the_run_as_a_row_and_wakes_it() -> None:
    flow = published(
        """
name: waits
steps:
  - {id: a, action: default}
  - {id: nap, action: wait, with: {for: 30m}}
  - {id: b, action: default}
"""
    )
    [run_id] = begun(flow, {"x": 1})
    drain()
    assert the_run(run_id).state == "waiting"
    assert states(run_id) == {"a": "succeeded", "nap": "waiting"}
    assert not Ticket.objects.exists()
    past()
    drain()
    assert the_run(run_id).state == "succeeded"
    assert states(run_id) == {"a": "succeeded", "nap": "succeeded", "b": "succeeded"}


def test_one_waiting_branch_leaves_the_run_running_while_another_works() -> None:
    flow = published(
        """
name: branch-waits
steps:
  - {id: a, action: default}
  - {id: nap, needs: [a], action: wait, with: {for: 30m}}
  - {id: work, needs: [a], action: sleep, with: {seconds: 0}}
  - {id: end, needs: [nap, work], action: default}
"""
    )
    [run_id] = begun(flow)
    drain()
    assert states(run_id) == {"a": "succeeded", "nap": "waiting", "work": "succeeded"}
    assert the_run(run_id).state == "waiting"
    past()
    drain()
    assert the_run(run_id).state == "succeeded"


def test_a_step_past_its_timeout_is_recorded_as_timed_out() -> None:
    flow = published(
        """
name: slow
steps:
  - {id: a, action: sleep, with: {seconds: 5}, timeout: 200ms, retry: {max_attempts: 1}}
"""
    )
    [run_id] = begun(flow)
    drain()
    row = steps(run_id)["a"]
    assert row.state == "failed"
    assert row.attempts[0]["outcome"] in ("timed_out", "failed")
    assert row.error is not None
    assert row.error["kind"] == "timeout"


@pytest.fixture
def refuse_two() -> Iterator[None]:
    """A database that refuses the output {"n": 2}, as it would refuse a value that slipped through our checks."""
    with refusing("22P05"):
        yield


@pytest.mark.usefixtures("refuse_two")
@pytest.mark.parametrize("before", ["", "{id: nap, action: sleep, with: {seconds: 0}}, "])
def test_what_postgresql_refuses_fails_one_run_and_not_its_neighbours(before: str) -> None:
    last = '{id: b, action: transform, with: {set: {n: "{{ input.n }}"}}}'
    flow = published(f"name: poisoned\nsteps: [{before}{last}]")
    good, bad, fine = begun(flow, {"n": 1}, {"n": 2}, {"n": 3})
    drain()
    assert the_run(good).state == "succeeded"
    assert the_run(fine).state == "succeeded"
    assert the_run(bad).state == "failed"
    assert DeadLetter.objects.get(run_id=bad).reason == "unrecordable"


def test_the_sweep_takes_up_the_step_of_a_process_that_is_gone() -> None:
    flow = published("name: lost\nsteps: [{id: a, action: sleep, with: {seconds: 0}}]")
    [run_id] = begun(flow)
    claim(run_id, "a", process=lease.current())
    assert states(run_id) == {"a": "running"}
    assert sweep().rescued == 0
    Process.objects.update(expires_at=F("expires_at") - HOUR)
    lease.give_up()
    assert sweep().rescued == 1
    assert states(run_id) == {"a": "retrying"}
    drain()
    row = steps(run_id)["a"]
    assert (row.state, row.attempt) == ("succeeded", 2)
    assert row.attempts[0]["outcome"] == "lost"


def test_a_claim_without_a_live_lease_gets_nothing() -> None:
    flow = published("name: leaseless\nsteps: [{id: a, action: sleep, with: {seconds: 0}}]")
    [run_id] = begun(flow)
    process = lease.current()
    Process.objects.filter(id=process).update(expires_at=F("expires_at") - HOUR)
    got = claim(run_id, "a", process=process)
    assert got == []
    assert Ticket.objects.filter(run_id=run_id).count() == 1
    lease.give_up()


ALARMED = """
name: alarmed
steps:
  - {id: a, action: transform, with: {select: [email]}}
  - {id: b, action: default}
on_failure:
  - {id: alert, action: notify, with: {channel: ops, text: "{{ steps.a.error.message }}"}}
  - {id: after, action: default}
"""


def test_on_failure_steps_run_before_the_run_fails_and_only_then() -> None:
    bad, good = begun(published(ALARMED), {"mail": 1}, {"email": 1})
    drain()
    assert states(good) == {"a": "succeeded", "b": "succeeded"}
    assert the_run(good).output == {"email": 1}
    assert states(bad) == {"a": "failed", "b": "skipped", "alert": "succeeded", "after": "succeeded"}
    output = steps(bad)["alert"].output
    assert output is not None
    assert "email" in output["text"]
    run = the_run(bad)
    assert run.state == "failed"
    assert run.error is not None
    assert run.error["step"] == "a"
    assert DeadLetter.objects.get(run_id=bad).step == "a"


def test_a_failing_on_failure_step_does_not_hide_why_the_run_failed() -> None:
    alert = '{id: alert, action: notify, with: {channel: ops, text: "{{ steps.a.error.message }}"}}'
    assert alert in ALARMED
    flow = published(ALARMED.replace(alert, "{id: alert, action: fail, with: {message: no channel}}"))
    [run_id] = begun(flow, {})
    drain()
    assert states(run_id) == {"a": "failed", "b": "skipped", "alert": "failed", "after": "skipped"}
    error = the_run(run_id).error
    assert error is not None
    assert error["step"] == "a"


def test_a_retry_by_hand_takes_back_what_on_failure_did() -> None:
    [run_id] = begun(published(ALARMED), {"mail": 1})
    drain()
    actor = Actor(reason="mended")
    assert retries.retry([run_id], actor=actor, inputs={(run_id, "a"): {"email": 2}}) == {run_id}
    drain()
    assert states(run_id) == {"a": "succeeded", "b": "succeeded"}
    assert the_run(run_id).state == "succeeded"


def test_a_claim_whose_answer_was_lost_is_given_up_at_the_second_look() -> None:
    flow = published("name: unheard\nsteps: [{id: a, action: sleep, with: {seconds: 0}}]")
    [run_id] = begun(flow)
    me = lease.current()
    claim(run_id, "a", process=me)
    lease.hold([(run_id, -1, "a", 1)])
    assert lease.give_up_unclaimed(me, before=lease.unclaimed(me)) == set()
    assert states(run_id) == {"a": "running"}
    lease.let_go([(run_id, -1, "a", 1)])
    first = lease.give_up_unclaimed(me, before=set())
    assert first == {(run_id, -1, "a", 1)}
    assert sweep().rescued == 0
    lease.give_up_unclaimed(me, before=first)
    assert sweep().rescued == 1
    drain()
    row = steps(run_id)["a"]
    assert (row.state, row.attempt, row.attempts[0]["outcome"]) == ("succeeded", 2, "lost")


def test_the_audit_tells_of_a_run_that_nothing_moves(caplog: pytest.LogCaptureFixture) -> None:
    [run_id] = begun(published(ALARMED), {"email": 1})
    assert invariants.check() == 0
    Ticket.objects.filter(run_id=run_id).delete()
    assert invariants.check() == 1
    assert "audit_alarm" in caplog.text
    Run.objects.filter(id=run_id).delete()
