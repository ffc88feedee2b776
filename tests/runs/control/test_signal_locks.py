"""Signals, timers, cancels and decisions meet at one step: one of them wins, and none is lost."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from runs.control import approvals, stops
from runs.control.approvals import Decision
from runs.domain.actor import Actor
from runs.domain.outcomes import HeldTicket, Outcome
from runs.engine import record, tickets
from runs.engine.attempt import walk
from runs.engine.work import clock_of, work_of
from runs.maintenance import sweep
from runs.models import DeadLetter, Intervention, Signal, Ticket
from runs.planning import plan as plans
from tests.engine import drain, messages, perform, state
from tests.flows import begun, published, steps, the_run
from tests.runs.control.test_signals import ACTOR, output, paid, past, send, send_by_key, waits
from tests.runs.locks import in_thread, locked_run, other_connection, wait_for_waiter, waiters
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

ASKS = "name: asks\nsteps: [{id: ok, action: approval, with: {message: Go?}}, {id: go, action: default}]"


def wait_for_both() -> None:
    wait_for(lambda: len(waiters()) == 2, what="two statements that wait for a lock")


def after_each_other(run_id: UUID, first: Any, second: Any) -> None:
    """The run is held until both wait for it, the first one first in the line."""
    with locked_run(run_id) as other, in_thread(first):
        wait_for_waiter()
        with in_thread(second):
            wait_for_both()
            other.commit()


def kept() -> int:
    return Signal.objects.filter(used_at__isnull=True).count()


@pytest.mark.parametrize("signal_first", [True, False])
def test_a_signal_and_a_park_that_wait_for_each_other_meet(signal_first: bool) -> None:
    [run_id] = begun(published(paid()), {})
    [message] = messages()
    works = [lambda: send(run_id), lambda: perform(message)]
    after_each_other(run_id, *(works if signal_first else works[::-1]))
    drain()
    assert state(run_id) == "succeeded"
    assert kept() == 0


def test_a_signal_by_key_and_a_park_that_wait_for_each_other_meet() -> None:
    [run_id] = begun(published(paid(key="7")), {})
    [message] = messages()
    with other_connection() as other:
        other.execute("SELECT pg_advisory_xact_lock(hashtextextended(E'paid\\x1f7', 0))")
        with in_thread(lambda: send_by_key("7")), in_thread(lambda: perform(message)):
            wait_for_both()
            other.commit()
    drain()
    assert state(run_id) == "succeeded"
    assert kept() == 0


@pytest.mark.parametrize("signal_first", [True, False])
def test_of_a_signal_and_a_timer_the_first_one_ends_the_wait(signal_first: bool) -> None:
    [run_id] = waits(timeout="1h", on_timeout="continue")
    past()
    works = [lambda: send(run_id, payload="in time"), sweep.wake]
    after_each_other(run_id, *(works if signal_first else works[::-1]))
    assert Ticket.objects.filter(run_id=run_id).count() == 1
    drain()
    assert state(run_id) == "succeeded"
    assert ("timed_out" in output(run_id)) is not signal_first
    assert Signal.objects.count() == (1 if signal_first else 0)


@pytest.mark.parametrize("signal_first", [True, False])
def test_of_a_signal_and_a_cancel_the_first_one_decides_about_the_step(signal_first: bool) -> None:
    [run_id] = waits()
    works = [lambda: send(run_id), lambda: stops.cancel([run_id], actor=ACTOR)]
    after_each_other(run_id, *(works if signal_first else works[::-1]))
    drain()
    assert state(run_id) == "cancelled"
    assert steps(run_id)["pay"].state == ("succeeded" if signal_first else "cancelled")
    assert Signal.objects.count() == (1 if signal_first else 0)


def test_of_two_signals_at_once_one_is_taken() -> None:
    [run_id] = waits()
    taken: list[Any] = []
    after_each_other(run_id, lambda: taken.append(send(run_id)), lambda: taken.append(send(run_id)))
    assert sorted(len(each) for each in taken) == [0, 1]
    assert Signal.objects.count() == 1
    drain()
    assert state(run_id) == "succeeded"


def test_one_signal_sent_twice_at_once_under_one_key_stands_once() -> None:
    [run_id] = waits()
    taken: list[Any] = []
    sends = [lambda: taken.extend(send(run_id, once="event"))] * 2
    after_each_other(run_id, *sends)
    assert len({each.id for each in taken}) == 1
    assert sorted(each.created for each in taken) == [False, True]


@pytest.mark.parametrize("approved", [True, False])
def test_of_an_approval_and_a_rejection_the_first_one_counts(approved: bool) -> None:
    [run_id] = begun(published(ASKS), {})
    drain()

    def decide(verdict: bool) -> None:
        decision = Decision(approved=verdict, by="ada")
        approvals.decide([(run_id, "ok", -1)], decision=decision, actor=Actor())

    after_each_other(run_id, lambda: decide(approved), lambda: decide(not approved))
    drain()
    assert state(run_id) == ("succeeded" if approved else "failed")
    assert [one.verb for one in Intervention.objects.all()] == ["approve" if approved else "reject"]
    assert DeadLetter.objects.count() == (0 if approved else 1)


def test_a_signal_waits_for_the_runs_lock_before_it_looks() -> None:
    """The step parks while the signal waits: a look before the lock would have kept it for ever."""
    [run_id] = begun(published(paid()), {})
    messages()
    with locked_run(run_id) as other, in_thread(lambda: send(run_id)):
        wait_for_waiter()
        other.execute(
            "INSERT INTO runs_steprun (run_id, step, item, state, attempt, attempts, signal, started_at)"
            " VALUES (%s, 'pay', -1, 'waiting', 1, '[]', 'paid', now())",
            [run_id],
        )
        other.execute("UPDATE runs_run SET state = 'waiting' WHERE id = %s", [run_id])
        other.execute("DELETE FROM runs_ticket WHERE run_id = %s", [run_id])
        other.commit()
    assert steps(run_id)["pay"].state == "succeeded"
    drain()


def test_a_park_that_lost_its_fence_uses_up_no_signal() -> None:
    [run_id] = begun(published(paid()), {})
    send(run_id, payload=1)
    plan = plans.load(the_run(run_id).version_id)
    [ticket] = Ticket.objects.filter(run_id=run_id)
    [row] = tickets.load([(run_id, -1)], head="a", reads=[])
    work = work_of(row, clock=clock_of([row]), attempt=1, attempts=None, edited=None)
    results = walk(plan, plan.link("a"), work)
    assert results[-1].signal == "paid"
    zombie = Outcome(run=work.run, fence=HeldTicket(ticket.pk + 1), results=results)
    assert record.record([zombie], plan=plan).won == frozenset()
    assert kept() == 1
    drain()
    assert state(run_id) == "succeeded"
