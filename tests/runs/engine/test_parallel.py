"""Effectful steps of one delivery are performed together: each claimed, timed, recorded and lost for itself."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import ClassVar
from uuid import UUID

import pytest
from billiard import current_process
from django.db import OperationalError, connection
from django.db.models import F
from django.db.models.functions import Now
from pytest_django import Settings

from actions import registry
from actions.base import Action, Config, Context, Json
from runs.dispatch import dispatcher
from runs.domain.candidates import Candidate
from runs.engine import lease, parallel, thread_pool, tickets
from runs.maintenance.sweep import sweep
from runs.models import Process, Run, StepRun, Ticket
from runs.planning import plan as plans
from runs.worker import delivery, tasks
from tests.engine import deliver, drain, messages
from tests.flows import begun, published, states, steps, the_run
from tests.runs.engine.test_engine_failures import HOUR, past
from tests.runs.locks import in_thread, other_connection
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)


class HeldConfig(Config):
    hold: bool = False


class _Held(Action[HeldConfig]):
    """Counts how many are performed at once; with `hold` it does not end before `let_go`."""

    name: ClassVar[str] = "held"
    config_class: ClassVar[type[Config]] = HeldConfig
    let_go: ClassVar[threading.Event] = threading.Event()
    together: ClassVar[threading.Condition] = threading.Condition()
    performed: ClassVar[list[str]] = []
    now: ClassVar[int] = 0
    most: ClassVar[int] = 0

    def perform(self, config: HeldConfig, context: Context) -> Json:
        with self.together:
            _Held.now += 1
            _Held.most = max(_Held.most, _Held.now)
            self.performed.append(context.run_id)
        if config.hold:
            self.let_go.wait(30)
        with self.together:
            _Held.now -= 1
        return {"attempt": context.attempt}


class _Told(Action[Config]):
    """Says whether it holds a database connection while its effect is made."""

    name: ClassVar[str] = "told"
    config_class: ClassVar[type[Config]] = Config

    def perform(self, config: Config, context: Context) -> Json:
        return context.once("effect", lambda: {"held": connection.connection is not None})


@pytest.fixture(autouse=True)
def _held(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for action in (_Held, _Told):
        monkeypatch.setitem(registry.ACTIONS, action.name, f"{__name__}.{action.__name__}")
    _Held.performed.clear()
    _Held.now = _Held.most = 0
    _Held.let_go.clear()
    thread_pool._forget()
    yield
    _Held.let_go.set()
    thread_pool._forget()


FLOW = """
name: held
steps:
  - {id: a, action: held, with: {hold: "{{ input.hold }}"}, timeout: 20s}
  - {id: b, action: held}
"""
SHORT = FLOW.replace("timeout: 20s", "timeout: 300ms, retry: {max_attempts: 1}")


def test_a_slow_step_holds_back_neither_the_records_of_others_nor_what_follows_them() -> None:
    slow, fast = begun(published(FLOW), {"hold": True}, {"hold": False})
    with in_thread(deliver):
        wait_for(lambda: states(fast) == {"a": "succeeded"}, what="the record of the fast step")
        wait_for(lambda: Ticket.objects.filter(run_id=fast, head="b", sends=1).exists(), what="the knock for b")
        assert states(slow) == {"a": "running"}
        _Held.let_go.set()
    drain()
    assert states(slow) == states(fast) == {"a": "succeeded", "b": "succeeded"}


def test_a_process_that_dies_loses_only_what_was_not_recorded() -> None:
    slow, fast = begun(published(FLOW), {"hold": True}, {"hold": False})
    with in_thread(deliver):
        wait_for(lambda: states(fast) == {"a": "succeeded"}, what="the record of the fast step")
        Process.objects.update(expires_at=F("expires_at") - HOUR)
        sweep()
        assert states(slow) == {"a": "retrying"}
        assert list(Ticket.objects.filter(suspect=True).values_list("run_id", flat=True)) == [slow]
        lease.give_up()
        _Held.let_go.set()
    drain()
    assert (steps(slow)["a"].attempt, steps(fast)["a"].attempt) == (2, 1)
    assert _Held.performed.count(str(fast)) == 2, "a and b, once each"
    assert states(slow) == states(fast) == {"a": "succeeded", "b": "succeeded"}


def test_no_more_are_performed_at_once_than_there_are_threads(settings: Settings) -> None:
    settings.IO_THREADS = 3
    runs = begun(published(FLOW), *[{"hold": True}] * 8)
    with in_thread(drain):
        wait_for(lambda: _Held.now == 3, what="three steps under way")
        assert StepRun.objects.filter(state="running").count() == 3
        _Held.let_go.set()
    assert _Held.most == 3
    assert {the_run(run_id).state for run_id in runs} == {"succeeded"}


def test_a_step_has_its_whole_timeout_though_others_were_performed_before_it(settings: Settings) -> None:
    settings.IO_THREADS = 1
    flow = published(
        "name: naps\nsteps: [{id: a, action: sleep, with: {seconds: 0.4}, timeout: 700ms, retry: {max_attempts: 1}}]"
    )
    runs = begun(flow, {}, {})
    drain()
    assert {the_run(run_id).state for run_id in runs} == {"succeeded"}


def test_another_thread_takes_the_place_of_one_that_is_stuck(settings: Settings) -> None:
    settings.IO_THREADS = 1
    flow = published(SHORT)
    [stuck] = begun(flow, {"hold": True})
    drain()
    assert steps(stuck)["a"].attempts[0]["outcome"] == "timed_out"
    assert thread_pool.worn_out()
    [other] = begun(flow, {"hold": False})
    drain()
    assert the_run(other).state == "succeeded"
    _Held.let_go.set()
    wait_for(lambda: not thread_pool.worn_out(), what="the stuck thread's end")


def test_a_child_whose_threads_are_all_stuck_ends_after_its_message(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.IO_THREADS = 1
    begun(published(SHORT), {"hold": True})
    drain()
    tasks.make_room()  # the process of these tests is nobody's child, and stays
    monkeypatch.setattr(current_process(), "name", "ForkPoolWorker-1")
    with pytest.raises(SystemExit):
        tasks.make_room()
    _Held.let_go.set()
    wait_for(lambda: not thread_pool.worn_out(), what="the stuck thread's end")
    tasks.make_room()


def test_what_was_not_begun_in_time_is_handed_back(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.IO_THREADS = 1
    monkeypatch.setattr(parallel, "BUDGET_SECONDS", 0.0)
    runs = begun(published(FLOW), *[{"hold": False}] * 3)
    deliver()
    assert StepRun.objects.filter(step="a", state="succeeded").count() == 1
    assert Ticket.objects.filter(head="a", knock_at__lte=Now()).count() == 2
    drain()
    assert {the_run(run_id).state for run_id in runs} == {"succeeded"}


def test_what_has_no_thread_is_performed_by_another_process_while_the_first_are_under_way(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.IO_THREADS = 2
    monkeypatch.setattr(parallel, "BUDGET_SECONDS", 0.2)
    begun(published(FLOW), *[{"hold": True}] * 4)
    due = Ticket.objects.filter(head="a", knock_at__lte=Now())
    with in_thread(deliver):
        wait_for(lambda: _Held.now == 2, what="the first half under way")
        # Well before their knock would be repeated.
        wait_for(lambda: due.count() == 2, what="the second half, handed back", timeout_seconds=9)
        thread_pool._forget()  # from here on as in another process, with threads of its own
        dispatcher.dispatch()
        with in_thread(deliver):
            wait_for(lambda: _Held.now == 4, what="both halves under way")
            assert StepRun.objects.filter(step="a", state="running", attempt=1).count() == 4
            _Held.let_go.set()
    drain()
    assert set(Run.objects.values_list("state", flat=True)) == {"succeeded"}
    assert len(_Held.performed) == 8, "a and b of each run, once"


def test_a_ticket_that_is_handed_back_again_and_again_is_no_suspect_and_an_unanswered_one_is() -> None:
    [run_id] = begun(published(FLOW), {"hold": False})
    for _ in range(5):
        assert len(messages()) == 1
        tickets.hand_back([(run_id, -1)], head="a")
        dispatcher.dispatch()
    assert Ticket.objects.values_list("sends", "suspect").get(run_id=run_id) == (1, False)
    for _ in range(3):
        assert len(messages()) == 1
        past()
        dispatcher.dispatch()
    assert Ticket.objects.values_list("sends", "suspect").get(run_id=run_id) == (4, True)


def test_a_claim_that_fails_leaves_behind_what_is_under_way_recorded(settings: Settings) -> None:
    settings.IO_THREADS = 1
    flow = published(FLOW)
    first, second = sorted(begun(flow, {"hold": False}, {"hold": False}))
    messages()
    with other_connection() as other, connection.cursor() as cursor:
        other.execute("SELECT 1 FROM runs_ticket WHERE run_id = %s FOR UPDATE", [second])
        cursor.execute("SET lock_timeout = '200ms'")
        candidates = [Candidate(first, -1, "a"), Candidate(second, -1, "a")]
        with pytest.raises(OperationalError, match="lock timeout"):
            delivery.work(candidates, plan=plans.load(flow.version.pk), carried="b")
        cursor.execute("RESET lock_timeout")
    assert (states(first), states(second)) == ({"a": "succeeded"}, {})
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
        wait_for(lambda: _Held.now == 30, what="thirty steps under way")
        _Held.let_go.set()
    assert {the_run(run_id).state for run_id in runs} == {"succeeded"}
