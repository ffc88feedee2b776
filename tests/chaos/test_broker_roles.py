"""A broker that answers, and refuses: demoted to a replica, or with a full disk. No worker ends or stops consuming."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import pytest

from runs.models import StepRun
from tests.chaos import workloads
from tests.chaos.conftest import Table
from tests.chaos.row import Row
from tests.chaos.size import SIZE
from tests.chaos.witness import Witness
from tests.waiting import wait_for


def test_a_broker_that_is_demoted_for_a_while_ends_no_worker(table: Table, witness: Witness) -> None:
    with table("F24", "broker demoted to a replica, and no other primary; promoted again later") as row:
        stack = row.stack
        _refused_and_back(row, witness, kind="broker demoted", refuse=stack.demote, accept=stack.promote)


def test_a_new_primary_under_the_same_name_is_found_by_every_worker(table: Table, witness: Witness) -> None:
    with table("F25", "broker demoted to a replica; its name leads to a new primary") as row:
        old = []
        try:
            _refused_and_back(
                row,
                witness,
                kind="broker failed over",
                refuse=lambda: old.append(row.stack.fail_over()),
                accept=lambda: None,
            )
        finally:
            for server in old:
                server.end(signal.SIGKILL)


def test_a_broker_with_a_full_disk_ends_no_worker(table: Table, witness: Witness) -> None:
    with table("F26", "disk of the broker's append-only file full") as row:
        stack = row.stack
        _refused_and_back(row, witness, kind="broker's disk full", refuse=stack.fill_disk, accept=stack.free_disk)


def _refused_and_back(
    row: Row, witness: Witness, *, kind: str, refuse: Callable[[], object], accept: Callable[[], object]
) -> None:
    """Let the broker refuse while workers are busy, and while they are idle, and start runs meanwhile."""
    row.fleet.ready("a", "b")
    mains = _mains(row)
    for busy in (True, False) * SIZE.of(1, 3):
        if busy:
            row.start(workloads.mixed(witness), SIZE.of(5, 15))
            # They end, and are acknowledged, while the broker refuses that.
            ids = row.start(workloads.held(witness, seconds=1.5), SIZE.of(4, 8))
            naps = StepRun.objects.filter(run_id__in=ids, step="nap", state="running")
            wait_for(naps.exists, what="a step under way", timeout_seconds=180)
        else:
            _consuming(row)
        refuse()
        row.start(workloads.mixed(witness), SIZE.of(5, 15))
        time.sleep(SIZE.of(3, 8))  # the fault lasts so long
        accept()
        row.fault(kind)
        row.all_end()
        _consuming(row)
        assert _mains(row) == mains, row.fleet.said()


def _consuming(row: Row) -> None:
    """Wait until both worker groups ask the broker for messages."""
    groups = len(row.fleet.groups)
    try:
        wait_for(lambda: row.stack.consumers() >= groups, what=f"{groups} groups to consume", timeout_seconds=60)
    except AssertionError:
        pytest.fail(row.fleet.said())


def _mains(row: Row) -> dict[str, int]:
    """Return the pid of each worker group's main process that lives."""
    return {name: one.process.pid for name, one in row.fleet.groups.items() if one.process and one.alive()}
