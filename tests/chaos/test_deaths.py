"""Kill children, workers and connections for real: every run ends, in seconds, and the history says what happened."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from uuid import UUID

import pytest
import redis
from django.conf import settings
from django.db import connection

from runs.models import DeadLetter, Process, Run, StepRun, Ticket
from tests.flows import begun, published, steps, the_run
from tests.waiting import wait_for
from tests.workers import Worker

pytestmark = [pytest.mark.chaos, pytest.mark.django_db(transaction=True)]

NAP = """
name: nap
steps: [{id: a, action: default}, {id: nap, action: sleep, with: {seconds: 3}}, {id: b, action: default}]
"""
QUICK = NAP.replace("seconds: 3", "seconds: 0").replace("name: nap", "name: quick")
LEASE_SECONDS = 3

Workers = Callable[..., Worker]


def running(run_id: UUID, step: str) -> StepRun:
    """The row of the step, once it runs."""
    found = StepRun.objects.filter(run_id=run_id, step=step, state="running")
    wait_for(found.exists, what=f"{step} to run")
    return found.get()


def ended(ids: list[UUID], *, within: float = 30) -> None:
    """All of these runs, succeeded."""
    wait_for(
        lambda: not Run.objects.filter(id__in=ids, finished_at=None).exists(),
        what=f"the end of {len(ids)} runs",
        timeout_seconds=within,
    )
    assert set(Run.objects.filter(id__in=ids).values_list("state", flat=True)) == {"succeeded"}
    assert not Ticket.objects.filter(run_id__in=ids).exists()


def test_the_step_of_a_killed_child_is_taken_up_again_long_before_its_lease_has_passed(worker: Workers) -> None:
    one = worker(PROCESS_LEASE_SECONDS="600")
    [run_id] = begun(published(NAP))
    row = running(run_id, "nap")
    for pid in one.children():
        os.kill(pid, signal.SIGKILL)
    again = StepRun.objects.filter(run_id=run_id, step="nap", state="running", attempt=2)
    wait_for(again.exists, what="the second attempt", timeout_seconds=30)
    assert again.get().process != row.process
    ended([run_id])
    assert [tried["outcome"] for tried in steps(run_id)["nap"].attempts] == ["lost"]


def test_the_steps_of_a_killed_worker_group_are_taken_up_by_another(worker: Workers) -> None:
    one = worker(PROCESS_LEASE_SECONDS="600")
    ids = begun(published(NAP), *[{"n": n} for n in range(5)])
    running(ids[0], "nap")
    one.kill()
    worker(PROCESS_LEASE_SECONDS="600")
    ended(ids)
    assert StepRun.objects.filter(run_id__in=ids, step="nap", attempt=2).exists()


def test_a_frozen_workers_steps_are_taken_when_its_lease_has_passed_and_its_late_results_dropped(
    worker: Workers,
) -> None:
    one = worker(PROCESS_LEASE_SECONDS=str(LEASE_SECONDS))
    ids = begun(published(NAP), *[{"n": n} for n in range(5)])
    running(ids[0], "nap")
    one.signal(signal.SIGSTOP)
    worker(PROCESS_LEASE_SECONDS=str(LEASE_SECONDS))
    again = StepRun.objects.filter(run_id__in=ids, step="nap", attempt=2)
    wait_for(again.exists, what="a second attempt", timeout_seconds=30)
    one.signal(signal.SIGCONT)
    ended(ids)
    taken = again.get(run_id=again.values_list("run_id", flat=True)[0])
    assert taken.state == "succeeded"
    assert [tried["outcome"] for tried in taken.attempts] == ["lost"]


def test_a_step_that_kills_its_worker_goes_to_the_dead_letters_and_spares_its_neighbours(worker: Workers) -> None:
    one = worker()
    poison = "name: poison\nsteps: [{id: n, action: sleep, with: {seconds: 60}}]"
    [bad] = begun(published(poison))
    fine = begun(published(QUICK), *[{"n": n} for n in range(20)])

    def killed_until_dead() -> bool:
        row = StepRun.objects.filter(run_id=bad, step="n", state="running").first()
        if row is not None:
            pid = _pid_of(row.process)
            if pid in one.children():
                os.kill(pid, signal.SIGKILL)
        return the_run(bad).state == "failed"

    wait_for(killed_until_dead, what="the poison step to be given up", timeout_seconds=60)
    ended(fine)
    letter = DeadLetter.objects.get(run_id=bad)
    assert letter.reason == "poison"
    assert {tried["outcome"] for tried in letter.attempts} == {"lost"}


def test_a_wiped_broker_loses_no_run(worker: Workers) -> None:
    flow = published(QUICK)
    one = worker()
    one.stop()
    ids = begun(flow, *[{"n": n} for n in range(300)])
    broker = redis.Redis.from_url(settings.REDIS_URL)
    broker.flushall()
    worker()
    ended(ids, within=40)


def test_terminated_connections_lose_no_run(worker: Workers) -> None:
    worker()
    flow = published(QUICK)
    ids: list[UUID] = []
    for _ in range(5):
        ids += begun(flow, *[{"n": n} for n in range(100)])
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        time.sleep(0.3)  # faults at intervals, not an instant
    ended(ids, within=60)
    assert StepRun.objects.filter(run_id__in=ids, state="succeeded").count() == 3 * len(ids)


def test_a_warm_shutdown_in_the_middle_loses_nothing_and_burns_no_attempt(worker: Workers) -> None:
    one = worker()
    ids = begun(published(NAP), *[{"n": n} for n in range(3)])
    running(ids[0], "nap")
    one.stop()
    worker()
    ended(ids)
    assert {step.attempt for step in StepRun.objects.filter(run_id__in=ids, step="nap")} == {1}


@pytest.mark.parametrize("acks_late", ["0", "1"])
def test_children_killed_again_and_again_leave_no_run_behind(worker: Workers, acks_late: str) -> None:
    one = worker(CELERY_ACKS_LATE=acks_late)
    ids = begun(published(QUICK), *[{"n": n} for n in range(200)])
    for _ in range(6):
        for pid in one.children()[:1]:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.4)  # faults at intervals, not all in one instant
        ids += begun(published(QUICK), *[{"n": n} for n in range(50)])
    ended(ids, within=60)
    assert StepRun.objects.filter(run_id__in=ids, state="succeeded").count() == 3 * len(ids)


def _pid_of(process: UUID | None) -> int:
    assert process is not None
    return Process.objects.get(id=process).pid
