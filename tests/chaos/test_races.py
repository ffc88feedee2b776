"""Races between starts, cancels and sweeps, and wrong clocks."""

from __future__ import annotations

import threading
from functools import partial
from uuid import UUID

from runs.control import stops
from runs.domain.actor import Actor
from runs.maintenance import sweep as sweeping
from runs.models import Run
from tests.chaos import ledger, workloads
from tests.chaos.conftest import Table
from tests.chaos.row import Row, at_once
from tests.chaos.size import SIZE
from tests.chaos.witness import Witness
from tests.flows import begun, published
from workflows.publishing.publish import Published


def test_workers_whose_clocks_are_wrong_wake_nothing_early_or_late(table: Table, witness: Witness) -> None:
    with table("F14", "one worker group an hour ahead, one an hour behind; children killed") as row:
        row.fleet.stop()
        row.fleet.launch("a", CHAOS_CLOCK_SECONDS="3600")
        row.fleet.launch("b", CHAOS_CLOCK_SECONDS="-3600")
        row.fleet.groups["a"].wait_ready()
        row.fleet.groups["b"].wait_ready()
        row.fault("clock an hour off", count=2, over=False)
        for _ in range(SIZE.of(1, 3)):
            row.start(workloads.mixed(witness), SIZE.of(15, 15))
            row.start(workloads.parked(witness, seconds=2), SIZE.of(5, 5))
            row.kill_child("a", "b")
            row.all_end()
    late = ledger.lateness(ledger.read(list(row.accepted)))
    assert max(late) < SIZE.bound(15)


def test_a_join_of_hundreds_of_branches_fires_once_though_children_die(table: Table, witness: Witness) -> None:
    with table("F19", f"a join of {SIZE.of(150, 600)} branches, children killed meanwhile") as row:
        row.fleet.ready("a", "b")
        row.start(workloads.wide(witness, width=SIZE.of(150, 600)), SIZE.of(2, 3))
        for _ in range(SIZE.of(1, 3)):
            row.kill_child("a", "b")


def test_a_hundred_starts_with_one_key_at_once_are_one_run(table: Table, witness: Witness) -> None:
    with table("F21", "100 starts at once with one idempotency key") as row:
        row.fleet.ready("a", "b")
        workload = workloads.mixed(witness)
        flow = published(workload.text)
        for number in range(SIZE.of(1, 10)):
            key = f"the-same-{row.fleet.acks}-{number}"
            answers = at_once([partial(_started, flow, key)] * 100)
            assert len(set(answers)) == 1
            row.fault("start repeated", count=99)
            row.accepted[answers[0]] = workload
        assert Run.objects.filter(idempotency_key__startswith=f"the-same-{row.fleet.acks}-").count() == SIZE.of(1, 10)


def test_nothing_begins_in_a_run_once_it_is_cancelled(table: Table, witness: Witness) -> None:
    with table("F22", "cancels from two sides at once, while steps are claimed, retried and completed") as row:
        row.fleet.ready("a", "b")
        for _ in range(SIZE.of(2, 8)):
            ids = row.start(workloads.mixed(witness), SIZE.of(20, 20))
            chosen = row.dice.sample(ids, len(ids) // 2)
            won = _cancelled_twice(row, chosen)
            row.expected |= dict.fromkeys(won, "cancelled")
            row.fault("run cancelled", count=len(won), over=False)
        row.all_end()
    assert ledger.started_after_cancel(ledger.read(list(row.accepted))) == 0


def test_five_sweepers_at_once_and_one_killed_neither_double_nor_lose(table: Table, witness: Witness) -> None:
    stop = threading.Event()

    def sweep() -> None:
        while not stop.wait(0.02):
            sweeping.sweep()

    with table("F23", "five more sweepers at once; the workers' own killed with their group") as row:
        # All workers report the same host, where a dead worker is noticed long before its lease expires.
        alive = {"CHAOS_HOST": "one", "PROCESS_LEASE_SECONDS": "600"}
        row.fleet.ready("a", "b", **alive)
        sweepers = threading.Thread(target=lambda: at_once([sweep] * 5))
        sweepers.start()
        try:
            for _ in range(SIZE.of(1, 4)):
                row.fleet.ready("a", "b", **alive)
                row.start(workloads.mixed(witness), SIZE.of(10, 20))
                row.start(workloads.held(witness, seconds=1), SIZE.of(10, 30))
                row.kill_group("a")
            row.all_end()
        finally:
            stop.set()
            sweepers.join()


def _started(flow: Published, key: str) -> UUID:
    return begun(flow, {"n": 1}, idempotency_key=key)[0]


def _cancelled_twice(row: Row, chosen: list[UUID]) -> frozenset[UUID]:
    """Cancel each of these runs by two callers at once. Return the runs that were won, each by exactly one of them."""
    halves = [partial(stops.cancel, [one], actor=Actor(reason="chaos")) for one in chosen for _ in range(2)]
    row.dice.shuffle(halves)
    won = [run_id for found in at_once(halves) for run_id in found]
    assert len(won) == len(set(won))
    return frozenset(won)
