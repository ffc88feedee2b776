"""Faults of the database: terminated connections and crashes."""

from __future__ import annotations

import signal
import time

from django.db import connection

from tests.chaos import workloads
from tests.chaos.conftest import Table
from tests.chaos.row import patiently
from tests.chaos.size import SIZE
from tests.chaos.witness import Witness

# How often more runs are started for most of them to wait at the same time.
_TIMES = 4


def test_terminated_connections_lose_no_run(table: Table, witness: Witness) -> None:
    with table("F10", "every database connection terminated, again and again") as row:
        row.fleet.ready("a", "b")
        for _ in range(SIZE.of(3, 12)):
            row.start(workloads.mixed(witness), SIZE.of(10, 10))
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            row.fault("all connections terminated")
            time.sleep(SIZE.of(1, 2) / 2)  # faults at intervals, not in one instant


def test_a_database_that_crashes_loses_no_run_that_it_accepted(table: Table, witness: Witness) -> None:
    with table("F11", "PostgreSQL shut down at once (immediate), recovers from its log") as row:
        row.fleet.ready("a", "b")
        for _ in range(SIZE.of(1, 4)):
            row.start(workloads.mixed(witness), SIZE.of(20, 20))
            row.stack.database.end(signal.SIGQUIT)
            row.stack.database.start()
            row.fault("PostgreSQL crashed")
            row.start(workloads.mixed(witness), SIZE.of(5, 5))
            row.all_end()


def test_a_database_that_is_read_only_for_moments_fails_no_run(table: Table, witness: Witness) -> None:
    with table("F27", "PostgreSQL read-only (default_transaction_read_only), again and again under load") as row:
        row.fleet.ready("a", "b")
        for number in range(SIZE.of(3, 5)):
            row.start(workloads.mixed(witness), SIZE.of(20, 50))
            _read_only("on")
            time.sleep(1 + number % 3)  # the fault lasts so long
            _read_only("off")
            row.fault("PostgreSQL read-only")
            time.sleep(0.5)  # between two faults some steps are recorded


def _read_only(value: str) -> None:
    """Let every new transaction of the server be read-only, or not."""
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
        cursor.execute("SELECT pg_reload_conf()")


def test_what_waits_is_woken_once_though_everything_was_restarted(table: Table, witness: Witness) -> None:
    with table("F20", "a long wait (compressed), and a restart of everything meanwhile") as row:
        row.fleet.ready("a", "b")
        for _ in range(_TIMES):
            # Where a machine is busy, the first may wake before the last is started: then once more, so many.
            ids = row.start(workloads.parked(witness, seconds=SIZE.of(8, 25)), SIZE.of(20, 60))
            row.all_parked(ids, step="pause")
            if (asleep := row.waiting(ids)) > len(ids) / 2:
                break
        assert asleep > len(ids) / 2
        row.fleet.stop()
        row.stack.broker.end(signal.SIGKILL)
        row.stack.database.end(signal.SIGINT)
        row.stack.database.start()
        row.stack.broker.start()
        patiently(lambda: row.fleet.ready("a", "b"))
        row.fault("everything restarted", over=False)
