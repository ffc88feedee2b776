"""Slow steps behind messages that have ended: their neighbours, and the end of the process that performs them."""

from __future__ import annotations

import os
import signal
import time
from functools import partial

from runs.dispatch import window
from runs.models import Run, StepRun
from tests.chaos import workloads
from tests.chaos.conftest import Table
from tests.chaos.row import Row
from tests.chaos.size import SIZE
from tests.chaos.witness import Witness
from tests.waiting import wait_for


def test_runs_beside_a_receiver_that_never_answers_end_as_if_it_were_not_there(table: Table, witness: Witness) -> None:
    with table("S1", "a receiver that accepts and never answers, and quick runs beside it") as row:
        row.fleet.ready("a")
        slow = row.start(workloads.hung(witness, seconds=SIZE.of(12, 40)), SIZE.of(20, 160))
        row.expected |= dict.fromkeys(slow, "failed")
        under_way = StepRun.objects.filter(run_id__in=slow, state="running")
        wait_for(lambda: under_way.count() == len(slow), what="all requests under way", timeout_seconds=180)
        row.fault("receiver hangs", over=False)
        quick = row.start(workloads.quick(witness), SIZE.of(10, 60))
        ended = Run.objects.filter(id__in=quick, state="succeeded")
        wait_for(lambda: ended.count() == len(quick), what="the quick runs' end", timeout_seconds=SIZE.of(11, 30))
        assert under_way.count() == len(slow), "they still wait for their answers"


def test_fifty_steps_behind_messages_that_have_ended_survive_the_death_of_their_child(
    table: Table, witness: Witness
) -> None:
    with table("S2", "kill -9 of a child with fifty steps behind messages that have long ended") as row:
        row.fleet.ready("a", PROCESS_LEASE_SECONDS="600")
        for _ in range(SIZE.of(1, 3)):
            ids = row.start(workloads.held(witness, seconds=SIZE.of(2, 5)), 50, together=50)
            naps = StepRun.objects.filter(run_id__in=ids, step="nap", state="running")
            # Some first answers of the witness are errors; those runs come later.
            wait_for(naps.all()[39:].exists, what="forty steps under way", timeout_seconds=180)
            wait_for(lambda: not window.anything_waits(), what="every message's end")
            row.kill_child("a")
            row.all_end()
    assert row.slowest() < SIZE.bound(30)


def test_a_shutdown_waits_for_the_steps_behind_messages_and_records_them(table: Table, witness: Witness) -> None:
    with table("S3", "SIGTERM while steps are under way behind messages that have ended") as row:
        for number in range(SIZE.of(1, 4)):
            row.fleet.ready("a", "b", PROCESS_LEASE_SECONDS="600")
            ids = row.start(workloads.held(witness, seconds=2), SIZE.of(20, 60), together=20)
            naps = StepRun.objects.filter(run_id__in=ids, step="nap", state="running")
            wait_for(naps.exists, what="a step under way", timeout_seconds=180)
            wait_for(lambda: not window.anything_waits(), what="every message's end")
            name = "ab"[number % 2]
            row.fleet.groups[name].stop()
            row.fault("worker group replaced")
    lost = StepRun.objects.filter(run_id__in=list(row.accepted), attempts__contains=[{"outcome": "lost"}])
    assert lost.count() == 0


def test_a_child_whose_interpreter_hangs_is_ended_and_what_it_had_under_way_is_done(
    table: Table, witness: Witness
) -> None:
    with table("S4", "an interpreter that hangs, with steps of others under way in the same process") as row:
        row.fleet.ready("a")
        [bad] = row.start(workloads.deadly(witness, end="hang"), 1)
        row.expected[bad] = "failed"
        row.start(workloads.held(witness, seconds=1), SIZE.of(6, 30))
        row.fault("interpreter hangs", over=False)
        row.all_end(within=300)
    attempts = StepRun.objects.get(run_id=bad, step="die").attempts
    assert 1 <= sum(1 for tried in attempts if tried["outcome"] in ("lost", "timed_out")) <= 4


def test_a_frozen_child_is_ended_by_its_parent(table: Table, witness: Witness) -> None:
    with table("S5", "SIGSTOP of one child, whose parent lives and ends it") as row:
        row.fleet.ready("a")
        for _ in range(SIZE.of(1, 2)):
            row.start(workloads.held(witness, seconds=1), SIZE.of(10, 30))
            pid = min(row.fleet.busy("a"))
            os.kill(pid, signal.SIGSTOP)
            row.fault("child frozen", pids=frozenset({pid}))
            began = time.monotonic()
            wait_for(partial(_is_gone, row, pid), what="the frozen child's end", timeout_seconds=120)
            assert time.monotonic() - began >= SIZE.lease_seconds / 2
            row.all_end()


def _is_gone(row: Row, pid: int) -> bool:
    return pid not in row.fleet.pids("a")
