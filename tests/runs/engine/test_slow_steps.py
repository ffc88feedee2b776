"""A delivery returns while slow steps are under way; the recorder, places, drains and suspects."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from queue import SimpleQueue
from uuid import UUID

import pytest
from billiard import current_process
from django.db import OperationalError, connection
from django.db.models import F
from django.db.models.functions import Now
from pytest_django import Settings

from runs.control import pauses, stops
from runs.dispatch import dispatcher
from runs.domain.actor import Actor
from runs.domain.candidates import Candidate
from runs.engine import lease, thread_pool, tickets
from runs.engine import recorder as recorders
from runs.engine.walker import Walker
from runs.maintenance import suspects
from runs.maintenance.sweep import sweep
from runs.models import Process, Run, StepRun, Ticket
from runs.planning import plan as plans
from runs.worker import delivery, tasks
from tests.engine import deliver, drain, messages, perform, settle
from tests.flows import begun, published, states, steps, the_run
from tests.runs.engine import held
from tests.runs.engine.held import FLOW, GRAPH, SHORT, Held, as_in_another_process
from tests.runs.engine.test_engine_failures import HOUR, past
from tests.runs.locks import in_thread, other_connection
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _held(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with held.installed(monkeypatch):
        yield


@held.patient()
def test_a_delivery_returns_while_a_slow_step_is_under_way_and_takes_quick_runs_to_their_end() -> None:
    slow, fast = begun(published(FLOW), {"hold": True}, {"hold": False})
    assert deliver() == 1
    assert (states(slow), states(fast)) == ({"a": "running"}, {"a": "succeeded", "b": "succeeded"})
    [other] = begun(published("name: pure\nsteps: [{id: a, action: default}]"))
    assert deliver() == 1
    assert the_run(fast).state == the_run(other).state == "succeeded"
    Held.let_go.set()
    wait_for(lambda: states(slow)["a"] == "succeeded", what="a record long before the timeout", timeout_seconds=8)
    drain()
    assert states(slow) == {"a": "succeeded", "b": "succeeded"}


@held.patient()
def test_a_process_that_dies_loses_only_what_was_not_recorded() -> None:
    slow, fast = begun(published(FLOW), {"hold": True}, {"hold": False})
    deliver()
    assert states(fast) == {"a": "succeeded", "b": "succeeded"}
    Process.objects.update(expires_at=F("expires_at") - HOUR)
    sweep()
    assert states(slow) == {"a": "retrying"}
    assert list(Ticket.objects.filter(suspect=True).values_list("run_id", flat=True)) == [slow]
    lease.give_up()
    Held.let_go.set()
    drain()
    assert (steps(slow)["a"].attempt, steps(fast)["a"].attempt) == (2, 1)
    assert Held.performed.count(str(fast)) == 2, "a and b, once each"
    assert states(slow) == states(fast) == {"a": "succeeded", "b": "succeeded"}


def test_a_cancel_reaches_a_step_that_was_left_behind() -> None:
    [run_id] = begun(published(FLOW), {"hold": True})
    deliver()
    stops.cancel([run_id], actor=Actor())
    lease.give_up_unclaimed(lease.current(), before=set())
    assert lease.stopped((run_id, -1, "a", 1))
    Held.let_go.set()
    settle()
    assert (states(run_id), the_run(run_id).state) == ({"a": "succeeded"}, "cancelled")
    assert not Ticket.objects.filter(run_id=run_id).exists()


def test_quick_places_and_slow_ones_bound_what_is_performed_at_once(settings: Settings) -> None:
    settings.IO_THREADS, settings.SLOW_STEPS = 3, 2
    thread_pool._forget()
    runs = begun(published(FLOW), *[{"hold": True}] * 8)
    with in_thread(drain):
        wait_for(lambda: Held.now == 5, what="five steps under way")
        time.sleep(0.3)
        assert StepRun.objects.filter(state="running").count() == 5
        Held.let_go.set()
    assert Held.most == 5
    assert {the_run(run_id).state for run_id in runs} == {"succeeded"}


def test_places_are_all_free_again_whatever_became_of_the_steps(settings: Settings) -> None:
    settings.IO_THREADS, settings.SLOW_STEPS = 4, 2
    thread_pool._forget()
    flow, graph = published(SHORT), published(GRAPH)
    begun(flow, *[{"hold": True}] * 3, *[{"hold": False}] * 6)
    begun(graph, *[{}] * 5)
    [paused] = begun(flow, {"hold": False})
    pauses.pause([paused], actor=Actor())
    drain()
    Held.let_go.set()
    wait_for(lambda: not thread_pool.current().stuck, what="the abandoned attempts' end")
    pool = thread_pool.current()
    assert pool.free == (4 + 1, 2 + 1), "all, and what is kept for other workspaces"
    assert not lease._in_hand


def test_a_step_has_its_whole_timeout_though_others_were_performed_before_it(settings: Settings) -> None:
    settings.IO_THREADS, settings.SLOW_STEPS = 1, 0
    thread_pool._forget()
    flow = published(
        "name: naps\nsteps: [{id: a, action: sleep, with: {seconds: 0.6}, timeout: 1100ms, retry: {max_attempts: 1}}]"
    )
    runs = begun(flow, {}, {})
    drain()
    assert {the_run(run_id).state for run_id in runs} == {"succeeded"}


def test_another_thread_takes_the_place_of_one_that_is_stuck(settings: Settings) -> None:
    settings.IO_THREADS = 1
    thread_pool._forget()
    [stuck] = begun(published(SHORT), {"hold": True})
    drain()
    assert steps(stuck)["a"].attempts[0]["outcome"] == "timed_out"
    assert thread_pool.worn_out()
    [other] = begun(published(FLOW), {"hold": False})
    drain()
    assert the_run(other).state == "succeeded"
    Held.let_go.set()
    wait_for(lambda: not thread_pool.worn_out(), what="the stuck thread's end")


def test_a_step_that_ends_after_its_timeout_is_recorded_once() -> None:
    [run_id] = begun(published(SHORT), {"hold": True})
    drain()
    Held.let_go.set()
    wait_for(lambda: not thread_pool.current().stuck, what="the stuck thread's end")
    settle()
    assert states(run_id) == {"a": "failed", "b": "skipped"}
    assert [tried["outcome"] for tried in steps(run_id)["a"].attempts] == ["timed_out"]


def test_a_child_whose_threads_are_all_stuck_ends_after_its_message(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.IO_THREADS = 1
    thread_pool._forget()
    begun(published(SHORT), {"hold": True})
    drain()
    tasks.make_room()  # the process of these tests is nobody's child, and stays
    monkeypatch.setattr(current_process(), "name", "ForkPoolWorker-1")
    with pytest.raises(SystemExit):
        tasks.make_room()
    Held.let_go.set()
    wait_for(lambda: not thread_pool.worn_out(), what="the stuck thread's end")
    recorders._forget()
    tasks.make_room()


def test_a_child_that_uses_too_much_memory_records_what_is_under_way_and_ends(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.WORKER_CHILD_MEMORY_MEGABYTES = 1
    [run_id] = begun(published(FLOW), {"hold": True})
    deliver()
    monkeypatch.setattr(current_process(), "name", "ForkPoolWorker-1")
    threading.Timer(0.3, Held.let_go.set).start()
    with pytest.raises(SystemExit):
        tasks.make_room()
    assert states(run_id) == {"a": "succeeded"}
    settings.WORKER_CHILD_MEMORY_MEGABYTES = 1024
    as_in_another_process()
    drain()
    assert the_run(run_id).state == "succeeded"


def test_what_finds_no_place_is_handed_back_after_a_while_and_performed_by_another_process(settings: Settings) -> None:
    settings.IO_THREADS, settings.SLOW_STEPS = 2, 0
    thread_pool._forget()
    begun(published(FLOW), *[{"hold": True}] * 4)
    due = Ticket.objects.filter(head="a", knock_at__lte=Now())
    deliver()
    wait_for(lambda: Held.now == 2, what="two steps under way")
    # Well before their knock would be repeated.
    wait_for(lambda: due.count() == 2, what="the second half, handed back", timeout_seconds=9)
    as_in_another_process()
    dispatcher.dispatch()
    deliver()
    wait_for(lambda: Held.now == 4, what="four steps under way")
    assert StepRun.objects.filter(step="a", state="running", attempt=1).count() == 4
    Held.let_go.set()
    drain()
    wait_for(lambda: set(Run.objects.values_list("state", flat=True)) == {"succeeded"}, what="all runs' end")
    assert len(Held.performed) == 8, "a and b of each run, once"


def test_what_finds_no_place_is_claimed_as_soon_as_one_is_free(settings: Settings) -> None:
    settings.IO_THREADS, settings.SLOW_STEPS = 1, 0
    thread_pool._forget()
    first, second = sorted(begun(published(FLOW), {"hold": True}, {"hold": True}))
    deliver()
    wait_for(lambda: Held.now == 1, what="a step under way")
    Held.let_go.set()
    settle()
    assert {the_run(run_id).state for run_id in (first, second)} == {"succeeded"}
    assert Ticket.objects.count() == 0


def test_the_delay_of_what_is_handed_back_grows_with_the_time_that_it_waits() -> None:
    [run_id] = begun(published(FLOW), {"hold": False})
    candidate = [Candidate(run_id, -1, "a")]

    def delay() -> float:
        [before] = Ticket.objects.values_list(Now(), flat=True)
        tickets.hand_back(candidate, least_seconds=0.05)
        [knock] = Ticket.objects.values_list("knock_at", flat=True)
        return float((knock - before).total_seconds())

    assert 0.05 <= delay() < 0.5
    Ticket.objects.update(due_at=Now() - timedelta(seconds=1.2))
    assert 0.6 <= delay() < 0.9
    Ticket.objects.update(due_at=Now() - HOUR)
    assert 1.0 <= delay() < 1.5
    tickets.hand_back(candidate)
    assert Ticket.objects.filter(knock_at__lte=Now()).exists(), "without a delay it is due at once"


def test_a_drain_claims_nothing_more_and_waits_for_what_is_under_way() -> None:
    [run_id] = begun(published(FLOW), {"hold": True})
    deliver()
    recorder = recorders.current()
    assert recorder.drain(until=time.monotonic() + 0.2) == 1, "it is still under way"
    Held.let_go.set()
    assert recorder.drain(until=time.monotonic() + 20) == 0
    assert states(run_id) == {"a": "succeeded"}
    assert Ticket.objects.filter(run_id=run_id, head="b").exists()
    as_in_another_process()
    drain()
    assert the_run(run_id).state == "succeeded"


def test_a_drain_hands_back_what_waits_for_a_place(settings: Settings) -> None:
    settings.IO_THREADS, settings.SLOW_STEPS = 1, 0
    thread_pool._forget()
    begun(published(FLOW), {"hold": True}, {"hold": True})
    deliver()
    recorders.current().drain(until=time.monotonic() + 0.2)
    assert Ticket.objects.filter(head="a", knock_at__lte=Now()).count() == 1


def test_a_ticket_that_is_handed_back_again_and_again_is_no_suspect_and_an_unanswered_one_is() -> None:
    [run_id] = begun(published(FLOW), {"hold": False})
    for _ in range(5):
        assert len(messages()) == 1
        tickets.hand_back([Candidate(run_id, -1, "a")])
        dispatcher.dispatch()
    assert Ticket.objects.values_list("sends", "suspect").get(run_id=run_id) == (1, False)
    for _ in range(2):
        assert len(messages()) == 1
        past()
        dispatcher.dispatch()
    assert Ticket.objects.values_list("sends", "suspect").get(run_id=run_id) == (3, False)
    [message] = messages()
    past()
    assert dispatcher.dispatch() == 0, "no message is sent for it any more"
    [suspect] = suspects.pick(limit=10)
    assert Ticket.objects.values_list("sends", "suspect").get(run_id=run_id) == (4, True)
    perform(message)
    assert states(run_id) == {}, "no delivery performs a suspect"
    suspects.perform([suspect])
    assert states(run_id) == {"a": "succeeded"}
    drain()
    assert the_run(run_id).state == "succeeded"


@held.patient()
def test_a_claim_that_fails_leaves_what_is_under_way_recorded(settings: Settings) -> None:
    settings.IO_THREADS = 1
    thread_pool._forget()
    flow = published(FLOW)
    first, second = sorted(begun(flow, {"hold": False}, {"hold": False}))
    messages()
    with other_connection() as other, connection.cursor() as cursor:
        other.execute("SELECT 1 FROM runs_ticket WHERE run_id = %s FOR UPDATE", [second])
        cursor.execute("SET lock_timeout = '200ms'")
        with pytest.raises(OperationalError, match="lock timeout"):
            delivery.deliver([str(first), str(second)], version_id=flow.version.pk, head="a")
        cursor.execute("RESET lock_timeout")
    assert states(first)["a"] == "succeeded"
    assert states(second) == {}
    past()
    drain()
    assert states(first) == states(second) == {"a": "succeeded", "b": "succeeded"}


def test_a_thread_has_no_database_connection_while_a_named_effect_is_made() -> None:
    [run_id] = begun(published("name: told\nsteps: [{id: a, action: told}]"))
    drain()
    assert steps(run_id)["a"].output == {"held": False}


def test_steps_of_many_runs_are_performed_at_once() -> None:
    runs: list[UUID] = begun(published(FLOW), *[{"hold": True}] * 30)
    with in_thread(drain):
        wait_for(lambda: Held.now == 30, what="thirty steps under way")
        Held.let_go.set()
    assert {the_run(run_id).state for run_id in runs} == {"succeeded"}


def test_slow_steps_that_the_recorder_walks_to_take_no_quick_place_either(settings: Settings) -> None:
    settings.IO_THREADS, settings.SLOW_STEPS = 2, 4
    thread_pool._forget()
    twice = FLOW.replace("{id: b, action: held}", "{id: b, action: held, with: {hold: true}}")
    runs = begun(published(twice.replace("name: held", "name: twice")), *[{"hold": True}] * 2)
    deliver()
    firsts, Held.let_go = Held.let_go, threading.Event()
    firsts.set()
    wait_for(lambda: all(states(one).get("b") == "running" for one in runs), what="the second steps under way")
    wait_for(lambda: thread_pool.current().free[0] == 2 + 1, what="the places of the second steps")
    [quick] = begun(published(FLOW), {"hold": False})
    with held.patient():
        deliver()
    assert the_run(quick).state == "succeeded"
    assert {states(one)["b"] for one in runs} == {"running"}
    Held.let_go.set()
    drain()
    assert {the_run(one).state for one in runs} == {"succeeded"}


@pytest.mark.parametrize("told", [True, False])
def test_a_success_that_its_owner_looks_at_too_late_stays_a_success(told: bool) -> None:
    flow = published(SHORT)
    [run_id] = begun(flow, {"hold": False})
    messages()
    walker = Walker()
    walker.claim([Candidate(run_id, -1, "a")], plan=plans.load(flow.version.pk))
    walker.under_way.inbox.put(None)
    [attempt] = walker.under_way.attempts
    wait_for(lambda: attempt.result, what="the attempt's end")
    if told:
        walker.under_way.inbox.put(attempt)
    else:
        # Its thread has not told of its end yet.
        walker.under_way.inbox = SimpleQueue()
    attempt.ends = 0.0
    ended = walker.under_way.gather(until=time.monotonic() + 0.2)
    assert [one.result.state for one in ended if one.result] == ["succeeded"]
    walker.record(ended, walks=False, tell=lambda _: None)
    assert states(run_id) == {"a": "succeeded"}
    past()
    drain()


@held.patient()
def test_what_is_under_way_is_seen_to_when_a_delivery_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    slow, fast = begun(published(FLOW), {"hold": True}, {"hold": False})
    [message] = messages()

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr("runs.worker.delivery.report", broken)
        with pytest.raises(ZeroDivisionError):
            perform(message)
    assert states(fast)["a"] == "succeeded"
    Held.let_go.set()
    settle()
    assert states(slow)["a"] == "succeeded"
    past()
    drain()
    assert not lease._in_hand
    assert {the_run(one).state for one in (slow, fast)} == {"succeeded"}


def test_a_child_that_is_replaced_drains_once() -> None:
    [run_id] = begun(published(FLOW), {"hold": True})
    deliver()
    recorder = recorders.current()
    recorder.drain(until=time.monotonic() + 0.05)
    began = time.monotonic()
    tasks.drain()
    assert time.monotonic() - began < 5
    Held.let_go.set()
    settle()
    assert states(run_id) == {"a": "succeeded"}
    as_in_another_process()
    drain()
