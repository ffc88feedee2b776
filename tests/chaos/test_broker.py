"""Faults of the broker (wiped, away, frozen, full) and of messages (lost, doubled, late)."""

from __future__ import annotations

import signal
import statistics
import time

from runs.models import StepRun
from tests.chaos import workloads
from tests.chaos.conftest import Table
from tests.chaos.size import SIZE
from tests.chaos.witness import Witness
from tests.waiting import wait_for

# How many times more runs are started until enough messages had a fault.
_TIMES = 8


def test_a_wiped_broker_loses_no_run(table: Table, witness: Witness) -> None:
    with table("F5", "broker killed and back empty, or wiped while it runs") as row:
        row.fleet.ready("a", "b")
        for number in range(SIZE.of(2, 4)):
            row.start(workloads.mixed(witness), SIZE.of(15, 30))
            if number % 2:
                # They end only after the connection that delivered their messages was given up.
                ids = row.start(workloads.held(witness, seconds=1.5), SIZE.of(4, 8))
                naps = StepRun.objects.filter(run_id__in=ids, step="nap", state="running")
                wait_for(naps.exists, what="a step under way", timeout_seconds=180)
                row.stack.broker.end(signal.SIGKILL)
                row.stack.broker.start()
                row.fault("broker killed")
            else:
                row.stack.client().flushall()
                row.fault("broker wiped")
            row.all_end()
    assert row.slowest() < SIZE.bound(15 + 10)


def test_while_the_broker_is_away_every_door_accepts(table: Table, witness: Witness) -> None:
    away = SIZE.of(3, 60)
    with table("F6", f"broker away for {away} s, while runs are started") as row:
        row.fleet.ready("a", "b")
        row.start(workloads.mixed(witness), 10)
        row.stack.broker.end(signal.SIGKILL)
        until = time.monotonic() + away
        row.door.clear()
        while time.monotonic() < until:
            row.start(workloads.mixed(witness), SIZE.of(5, 2), together=1)
            time.sleep(0.5)  # requests at intervals, for as long as the broker is away
        row.notes["door_p99_seconds"] = statistics.quantiles(row.door, n=100)[-1]
        row.stack.broker.start()
        row.fault("broker stopped")
        row.all_end()
    assert row.notes["door_p99_seconds"] < SIZE.bound(1.5)
    assert row.reports[0].drained < SIZE.bound(40 + 15)


def test_a_broker_that_hangs_holds_nothing_up_for_good(table: Table, witness: Witness) -> None:
    with table("F7", "broker frozen (SIGSTOP), then paused (CLIENT PAUSE)") as row:
        row.fleet.ready("a", "b")
        row.start(workloads.mixed(witness), SIZE.of(10, 40))
        row.stack.broker.send(signal.SIGSTOP)
        row.start(workloads.mixed(witness), SIZE.of(5, 20))
        time.sleep(SIZE.of(2, 30))  # the fault lasts so long
        row.stack.broker.send(signal.SIGCONT)
        row.fault("broker frozen")
        row.all_end()
        row.stack.client().client_pause(SIZE.of(2, 20) * 1000)
        row.start(workloads.mixed(witness), SIZE.of(5, 20))
        time.sleep(SIZE.of(2, 20))  # the fault lasts so long
        row.fault("broker paused")
    assert row.slowest() < SIZE.bound(60)


def test_a_full_broker_refuses_messages_and_no_run(table: Table, witness: Witness) -> None:
    with table("F8", "broker out of memory (noeviction)") as row:
        row.fleet.ready("a", "b")
        for _ in range(SIZE.of(1, 2)):
            row.start(workloads.mixed(witness), 10)
            row.stack.client().config_set("maxmemory", "1")
            row.start(workloads.mixed(witness), SIZE.of(20, 40))
            time.sleep(SIZE.of(2, 10))  # the fault lasts so long
            row.stack.client().config_set("maxmemory", "0")
            row.fault("broker full")
            row.all_end()


def test_lost_doubled_and_late_messages_change_nothing(table: Table, witness: Witness) -> None:
    # The delay before a message is sent again doubles each time, so the short form drops fewer.
    drop, double, hold = SIZE.of(15, 30), 30, SIZE.of(15, 20)
    said = f"{drop} % of messages dropped, {double} % doubled, {hold} % held back behind the next"
    with table("F9", said) as row:
        row.fleet.ready("a", "b")
        row.bad_bus(drop=drop / 100, double=double / 100, hold=hold / 100)
        try:
            for _ in range(_TIMES):
                row.start(workloads.mixed(witness), SIZE.of(24, 40), together=2)
                ended = row.all_end(within=SIZE.patience_seconds * 4)
                # The number of messages depends on the load: busier workers get fewer, larger ones.
                if not ended or row.bad_letters() > SIZE.of(20, 100):
                    break
        finally:
            row.good_bus()
    assert sum(row.faults.values()) > SIZE.of(20, 100)
