"""Hold locks in a connection of one's own, and see who waits for them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import psycopg
from django.db import connection

from tests.waiting import wait_for


@contextmanager
def other_connection() -> Iterator[psycopg.Connection[Any]]:
    """A second connection to the test's database; what it did not commit is rolled back."""
    words = connection.get_connection_params()
    words = {key: words[key] for key in ("dbname", "user", "password", "host", "port") if key in words}
    with psycopg.connect(**words) as other:
        yield other
        other.rollback()


@contextmanager
def locked_run(run_id: UUID) -> Iterator[psycopg.Connection[Any]]:
    """The run's row, locked by somebody else until the block ends or the connection commits."""
    with other_connection() as other:
        other.execute("SELECT 1 FROM runs_run WHERE id = %s FOR NO KEY UPDATE", [run_id])
        yield other


@contextmanager
def in_thread(work: Callable[[], object]) -> Iterator[None]:
    """Do the work beside the block, on a connection of its own; its failure is raised when the block ends."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join(timeout=60)
    assert not thread.is_alive(), "the work beside the test did not end"
    if failures:
        raise failures[0]


def waiters() -> set[Any]:
    """When each statement began that waits for a lock now: a new time is a new try."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")  # within a transaction the first look would be kept
        cursor.execute(
            "SELECT query_start FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        return {row[0] for row in cursor.fetchall()}


def wait_for_waiter(*, after: set[Any] | None = None) -> set[Any]:
    """Until a statement other than those `after` waits for a lock; answers all that wait then."""
    return wait_for(lambda: waiters() - (after or set()), what="a statement that waits for a lock")
