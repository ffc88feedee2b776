"""Somebody else holds a run: what was done is kept, and its neighbours do not wait."""

from __future__ import annotations

import pytest
from django.db import connection

from runs.models import DeadLetter, Ticket
from tests.engine import deliver, drain, link_by_link, messages, perform, state
from tests.flows import begun, published, the_run
from tests.runs.engine.test_engine_failures import past
from tests.runs.locks import in_thread, locked_run, wait_for_waiter, waiters
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)


def impatient() -> None:
    """Deliver what lies in the broker on a connection that waits for a lock only briefly."""
    found = messages()
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '300ms'")
    for message in found:
        perform(message)


def test_a_result_that_a_lock_keeps_out_for_a_while_is_recorded_and_not_failed() -> None:
    [run_id] = begun(published("name: held\nsteps: [{id: a, action: sleep, with: {seconds: 0}}]"))
    with locked_run(run_id) as other, in_thread(impatient):
        first = wait_for_waiter()
        wait_for_waiter(after=first)
        other.commit()
    assert the_run(run_id).error is None
    assert state(run_id) == "succeeded"
    assert not DeadLetter.objects.exists()


@pytest.mark.parametrize("action", ["sleep, with: {seconds: 0}", "default"])
def test_a_locked_run_does_not_hold_back_its_neighbours(action: str) -> None:
    free, held = begun(published(f"name: beside\nsteps: [{{id: a, action: {action}}}]"), {}, {})
    with locked_run(held) as other, in_thread(impatient):
        wait_for(lambda: state(free) == "succeeded", what="the free run's end")
        assert state(held) == "running"
        other.commit()
    past()
    drain()
    assert state(held) == "succeeded"


def both_wait() -> None:
    wait_for(lambda: len(waiters()) == 2, what="two statements that wait for a lock")


def test_two_last_branches_that_wait_for_the_run_release_the_join_once() -> None:
    flow = published(
        """
name: two-last
steps:
  - {id: a, action: default}
  - {id: b, needs: [a], action: default}
  - {id: c, needs: [a], action: sleep, with: {seconds: 0}}
  - {id: j, needs: [b, c], action: default}
"""
    )
    [run_id] = begun(flow)
    deliver()
    left, right = messages()
    with (
        link_by_link(),
        locked_run(run_id) as other,
        in_thread(lambda: perform(left)),
        in_thread(lambda: perform(right)),
    ):
        both_wait()
        other.commit()
    assert Ticket.objects.filter(run_id=run_id, head="j").count() == 1
    drain()
    assert state(run_id) == "succeeded"


def test_two_deliveries_that_wait_for_the_run_record_it_once() -> None:
    [run_id] = begun(published("name: doubled\nsteps: [{id: a, action: transform, with: {select: [gone]}}]"))
    [message] = messages()
    with (
        locked_run(run_id) as other,
        in_thread(lambda: perform(message)),
        in_thread(lambda: perform(message)),
    ):
        both_wait()
        other.commit()
    assert state(run_id) == "failed"
    assert DeadLetter.objects.filter(run_id=run_id).count() == 1
