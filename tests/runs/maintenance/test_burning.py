"""A child that computes for a stopped run is ended, and nothing else that it had in hand is to blame for that."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from typing import ClassVar
from uuid import UUID

import pytest
from django.db import connection
from django.db.models import F

from actions import registry
from actions.base import Action, Config, Context, Json
from runs.control import stops
from runs.dispatch.compiler import encode
from runs.domain.actor import Actor
from runs.domain.candidates import Candidate
from runs.domain.outcomes import Death
from runs.engine import lease, now_inline
from runs.maintenance import burning, sweep
from runs.maintenance.burning import Burning
from runs.models import Process, Run, Ticket
from runs.queries import leases
from runs.queries.database import observed, run
from tests.engine import claim, deliver, drain, state
from tests.flows import begun, published, queued, states, steps, the_run
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

PURE = "name: pure\nsteps: [{id: a, action: default}]"
EFFECT = "name: effect\nsteps: [{id: a, action: sleep, with: {seconds: 0}, retry: {max_attempts: 1}}]"
ENDING = "name: ending\nsteps: [{id: a, action: default}]\nfinally: [{id: tidy, action: default}]"


class Seen(Action[Config]):
    """A pure step that notes what its process is said to perform."""

    name: ClassVar[str] = "seen"
    pure: ClassVar[bool] = True
    config_class: ClassVar[type[Config]] = Config
    found: ClassVar[list[object]] = []

    def perform(self, config: Config, context: Context) -> Json:
        self.found.append(now_inline.of(os.getpid()))
        return None


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(burning, "SECONDS", 0.2)


def _at(run_id: UUID) -> Iterator[int]:
    """A process that performs the link of the run's ticket and never ends."""
    ticket = Ticket.objects.get(run_id=run_id).pk
    connection.close()
    pid = os.fork()
    if pid == 0:
        now_inline.begin(ticket, run_id)
        time.sleep(120)
        os._exit(0)
    wait_for(lambda: now_inline.of(pid), what="the process at its link")
    time.sleep(0.3)
    yield pid
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        pass


@pytest.fixture
def stuck() -> Iterator[tuple[UUID, int]]:
    [run_id] = begun(published(PURE))
    for pid in _at(run_id):
        yield run_id, pid


@pytest.fixture
def stuck_at_the_end() -> Iterator[tuple[UUID, int]]:
    """At a step of `finally`, of a run that was cancelled."""
    [run_id] = begun(published(ENDING))
    stops.cancel([run_id], actor=Actor())
    for pid in _at(run_id):
        yield run_id, pid


def _status(pid: int) -> int:
    return os.waitpid(pid, os.WNOHANG)[1]


@pytest.mark.usefixtures("quickly")
@pytest.mark.parametrize("verb", [stops.cancel, stops.terminate])
def test_a_child_at_a_stopped_run_is_killed_and_one_at_a_live_run_is_not(verb: object, stuck: tuple[UUID, int]) -> None:
    run_id, pid = stuck
    looks = Burning()
    assert looks.end([pid]) == []
    assert callable(verb)
    verb([run_id], actor=Actor())
    assert looks.end([pid]) == [pid]
    assert looks.ended == {pid}
    assert os.WTERMSIG(wait_for(partial(_status, pid), what="the child's end")) == signal.SIGKILL


@pytest.mark.usefixtures("quickly")
def test_a_child_at_a_run_that_passed_its_deadline_or_was_deleted_is_killed(stuck: tuple[UUID, int]) -> None:
    run_id, pid = stuck
    Ticket.objects.filter(run_id=run_id).delete()
    Run.objects.filter(pk=run_id).delete()
    assert Burning().end([pid]) == [pid]


@pytest.mark.usefixtures("quickly")
def test_a_step_that_follows_a_cancelled_runs_work_is_left_alone(stuck_at_the_end: tuple[UUID, int]) -> None:
    _, pid = stuck_at_the_end
    assert Burning().end([pid]) == []


def test_a_link_that_has_not_taken_long_costs_no_statement_and_is_left_alone(stuck: tuple[UUID, int]) -> None:
    run_id, pid = stuck
    stops.cancel([run_id], actor=Actor())
    with observed() as seen:
        assert Burning().end([pid]) == []
    assert seen == []


def test_each_inline_link_is_noted_while_it_is_performed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.ACTIONS, "seen", f"{__name__}.Seen")
    Seen.found.clear()
    flow = published("name: seen\nsteps: [{id: a, action: seen}, {id: b, action: seen}]")
    runs = queued(flow, {}, {})
    drain()
    found = [one for one in Seen.found if isinstance(one, now_inline.NowInline)]
    assert [one.run_id for one in found] == [run_id for run_id in runs for _ in "ab"]
    assert now_inline.of(os.getpid()) is None


def test_attempts_beside_it_are_released_however_often_and_neither_lost_nor_suspect() -> None:
    [run_id] = begun(published(EFFECT))
    for number in range(1, 7):
        assert claim(run_id, "a", process=lease.current())
        run(leases.RELEASE, host=lease.host(), pid=os.getpid())
        Process.objects.update(expires_at=F("expires_at") - timedelta(minutes=1))
        lease.give_up()
        assert sweep.rescue() == 1
        tried = steps(run_id)["a"].attempts
        assert [one["outcome"] for one in tried] == ["released"] * number
        assert not Ticket.objects.get(run_id=run_id).suspect
    drain()
    assert states(run_id) == {"a": "succeeded"}
    assert the_run(run_id).state == "succeeded"


def test_other_runs_of_its_message_are_due_at_once_and_no_suspects() -> None:
    runs = begun(published(PURE), {}, {}, {})
    candidates = [Candidate(run_id, -1, "a") for run_id in runs]
    death = Death(pid=4_000_000, runs=tuple(encode(candidates)), head="a")
    sweep.children_died([death], ended=frozenset({4_000_000}))
    assert not Ticket.objects.filter(suspect=True).exists()
    drain()
    assert {state(run_id) for run_id in runs} == {"succeeded"}
    others = begun(published(PURE), {})
    death = Death(pid=4_000_001, runs=tuple(encode([Candidate(others[0], -1, "a")])), head="a")
    sweep.children_died([death], ended=frozenset({4_000_000}))
    assert Ticket.objects.get(run_id=others[0]).suspect
    deliver()
