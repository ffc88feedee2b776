"""Suspects are performed in processes of their own, and whatever they do ends no other."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from itertools import pairwise
from typing import ClassVar

import pytest
from django.db.models.functions import Now

from actions import registry
from actions.base import Action, Config, Context, Json
from runs.maintenance import suspects
from runs.maintenance.sweep import MAX_LOST, sweep
from runs.models import DeadLetter, Process, StepRun, Ticket
from runs.worker.alone import Alone
from tests.engine import drain, messages
from tests.flows import begun, published, states, steps, the_run
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)


class _Where(Action[Config]):
    """Says in which process it is performed, and ends that process if its input says so."""

    name: ClassVar[str] = "where"
    config_class: ClassVar[type[Config]] = Config

    def perform(self, config: Config, context: Context) -> Json:
        if context.names["input"] == {"ends": True}:
            os.kill(os.getpid(), signal.SIGKILL)
        return {"pid": os.getpid()}


@pytest.fixture(autouse=True)
def _where(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.ACTIONS, _Where.name, f"{__name__}.{_Where.__name__}")


@pytest.fixture
def alone() -> Iterator[Alone]:
    found = Alone()
    yield found
    found.stop(within_seconds=20)


WHERE = "name: where\nsteps: [{id: a, action: where}, {id: b, action: where}]"


def suspected() -> None:
    messages()
    Ticket.objects.update(suspect=True, knock_at=Now())


def test_suspects_are_performed_in_processes_of_their_own(alone: Alone) -> None:
    runs = begun(published(WHERE), {}, {})
    suspected()
    assert alone.start() == 2
    assert alone.start() == 0, "they are picked"
    wait_for(lambda: all(states(one).get("a") == "succeeded" for one in runs), what="the suspects' end")
    alone.stop(within_seconds=20)
    pids = {row.output["pid"] for one in runs for row in [steps(one)["a"]] if isinstance(row.output, dict)}
    assert len(pids) == 2, "spread over the processes that may be started"
    assert os.getpid() not in pids
    assert Ticket.objects.filter(head="b", suspect=False).count() == 2, "what follows is no suspect"
    drain()
    assert {the_run(one).state for one in runs} == {"succeeded"}


def test_a_step_that_ends_its_process_each_time_is_given_up_and_its_neighbour_is_performed(alone: Alone) -> None:
    flow = published(WHERE)
    [poison, fine] = begun(flow, {"ends": True}, {})
    suspected()
    for death in range(1 + MAX_LOST):
        assert alone.start() >= 1
        alone.stop(within_seconds=20)
        swept = sweep()
        assert swept.rescued == 1, f"its death number {death + 1} is noticed at once, by its pid"
        Ticket.objects.filter(suspect=True).update(knock_at=Now())
    assert DeadLetter.objects.get(run_id=poison).reason == "poison"
    while Ticket.objects.filter(run_id=fine, suspect=True).exists():
        alone.start()
        alone.stop(within_seconds=20)
        Ticket.objects.filter(suspect=True).update(knock_at=Now())
    drain()
    assert the_run(fine).state == "succeeded"


def test_a_suspect_of_a_run_that_was_paused_waits(alone: Alone) -> None:
    begun(published(WHERE), {})
    messages()
    Ticket.objects.update(suspect=True, due_at=Now(), knock_at="2999-01-01T00:00Z")
    assert alone.start() == 0


def test_a_process_of_suspects_leaves_its_parents_connection_alone(alone: Alone) -> None:
    begun(published(WHERE), {})
    suspected()
    before = Process.objects.count()
    assert alone.start() == 1
    alone.stop(within_seconds=20)
    assert Process.objects.count() == before + 1
    assert suspects.pick(limit=10) == []


def test_many_suspects_are_performed_one_after_the_other_in_few_processes(alone: Alone) -> None:
    begun(published(WHERE), *[{}] * 40)
    suspected()
    assert alone.start() == 40
    alone.stop(within_seconds=60)
    rows = list(StepRun.objects.filter(step="a", state="succeeded").order_by("started_at"))
    assert len(rows) == 40
    by_pid: dict[int, list[StepRun]] = {}
    for row in rows:
        assert isinstance(row.output, dict)
        by_pid.setdefault(row.output["pid"], []).append(row)
    assert len(by_pid) <= 16
    for mine in by_pid.values():
        for before, after in pairwise(mine):
            assert before.finished_at is not None
            assert after.started_at is not None
            assert before.finished_at <= after.started_at, "never two at once"


def test_suspects_that_a_process_has_no_time_for_are_due_again_at_once(
    alone: Alone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runs.worker.alone._PROCESSES", 1)
    monkeypatch.setattr("runs.worker.alone._BUDGET_SECONDS", 0.0)
    begun(published(WHERE), {}, {})
    suspected()
    assert alone.start() == 2
    alone.stop(within_seconds=20)
    assert len(suspects.pick(limit=10)) == 2
