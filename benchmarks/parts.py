"""`python -m benchmarks.parts`: the microseconds and statements of each part of the engine for a W3 run.

One process does everything, so that the parts can be measured separately: it starts runs, takes the messages off the
broker, and performs them as a worker's child does. Runs are measured alone, one after the other, and started in bulk.
"""

from __future__ import annotations

import argparse
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.telling import RESULTS, keep, say

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.meter import Meter
    from runs.queries.database import Statement
    from workflows.models import Version, Workflow

RESULT = RESULTS / "parts.json"
BULK = 1000


def main() -> None:
    """Measure, print the figures, and write JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.parts", description=__doc__)
    parser.add_argument("--alone", type=int, default=1000, help="runs that are alone")
    parser.add_argument("--bulk", type=int, default=20000, help="runs that are started in bulk")
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args()

    from benchmarks import servers

    servers.up()
    keep(measured(alone=options.alone, bulk=options.bulk), options.output)


def measured(*, alone: int, bulk: int) -> dict[str, Any]:
    """Return the whole report."""
    from benchmarks import counted, machine, systems

    before = machine.load_average()
    walk = Walk(*systems.prepare())
    ways = {"alone": (walk.alone, alone), "bulk": (walk.bulk, bulk)}
    # Statements are counted in a separate pass, because counting takes time.
    with counted.counting():
        asked = {name: _asked(way, count=count) for name, (way, count) in ways.items()}
    walk.meter = _meter()
    return {
        "suite": "parts",
        "runs": {"alone": alone, "bulk": bulk},
        "machine": machine.described(),
        "load_average_before": before,
        "parts": {name: _parts(way, meter=walk.meter, count=count) for name, (way, count) in ways.items()},
        "statements": asked,
    }


class Walk:
    """Starts and performs W3 runs, all in this process."""

    def __init__(self, workflow: Workflow, version: Version) -> None:
        self.meter: Meter | None = None
        self._workflow, self._version = workflow, version
        self._waiting: Any = None

    def alone(self, count: int) -> None:
        """Start and perform runs one after the other."""
        for number in range(count):
            self._start(range(number, number + 1))
            self._perform_all()

    def bulk(self, count: int) -> None:
        """Start runs in calls of a thousand, then perform them all."""
        for first in range(0, count, BULK):
            self._start(range(first, min(first + BULK, count)))
        self._perform_all()

    def _start(self, numbers: range) -> None:
        from benchmarks import work
        from runs.control import starts
        from runs.domain.requests import Request

        with self._part("start: all else", asks=True):
            requests = [Request(input=work.given(number)) for number in numbers]
            starts.start(requests, version=self._version, workflow=self._workflow, source="bench")

    def _perform_all(self) -> None:
        """Perform every message in the broker, and the messages that these cause."""
        from celery import current_app
        from celery.app.trace import trace_task

        from runs.worker import tasks

        if self._waiting is None:  # kept, as a worker keeps its own
            connection = current_app.connection_for_read()
            self._waiting = connection.SimpleQueue(current_app.conf.task_default_queue, no_ack=True)
        while True:
            with self._part("broker: take a message off"):
                try:
                    message = self._waiting.get_nowait()
                except self._waiting.Empty:
                    break
                headers, (args, kwargs, embed) = message.headers, message.payload
            request = {**headers, "chain": embed["chain"], "delivery_info": {}, "is_eager": False}
            with self._part("Celery: around the task", asks=True):
                trace_task(tasks.advance, headers["id"], args, kwargs, request=request, app=current_app)

    def _part(self, name: str, *, asks: bool = False) -> AbstractContextManager[None]:
        return nullcontext() if self.meter is None else self.meter.part(name, asks=asks)


def _meter() -> Meter:
    """Return a meter that wraps the functions of each part; each SQL statement is a part of its own."""
    from django.db import connection

    from benchmarks.meter import Meter
    from runs.control import starts
    from runs.dispatch import dispatcher, window
    from runs.engine import attempt, executor, record
    from runs.queries import database
    from runs.worker import delivery

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        meter = Meter(cursor.fetchone()[0])
    for name in ("after_commit", "after_start", "refill"):
        meter.watch(dispatcher, name, "dispatch: what is to be sent")
    meter.watch(dispatcher, "_send", "dispatch: write a message")
    meter.watch(window, "push", "dispatch: push it")
    meter.watch(delivery, "deliver", "deliver: all else")
    meter.watch(executor, "advance", "deliver: rows to work, results to outcomes")
    meter.watch(attempt, "walk", "deliver: perform the steps")
    meter.watch(record, "record", "deliver: outcomes to rows")
    starts._starts._after = dispatcher.after_start  # it was bound to the function before this was wrapped
    for name in ("run", "copy"):
        meter.watch(database, name, _statement, asks=True)
    return meter


def _statement(statement: Statement, *_: object) -> str:
    return f"statement {statement.name}"


def _parts(way: Callable[[int], None], *, meter: Meter, count: int) -> list[dict[str, Any]]:
    """Return each part's own time and calls, per run."""
    way(max(10, count // 10))
    meter.clear()
    way(count)
    told = []
    for part in meter.parts.values():
        python, postgresql, wall = (
            round(1e6 * value / count, 2) for value in (part.python, part.postgresql, part.wall)
        )
        figures = {"python_us": python, "postgresql_us": postgresql, "wall_us": wall}
        told.append({"part": part.name, "calls": round(part.calls / count, 5), **figures})
        say(f"{part.name:44} python {python:9.2f}  postgresql {postgresql:9.2f}  wall {wall:9.2f}")
    return told


def _asked(way: Callable[[int], None], *, count: int) -> list[dict[str, Any]]:
    """Return the statements as PostgreSQL counted them, per run."""
    from benchmarks import counted

    way(max(10, count // 10))
    counted.reset()
    way(count)
    return [
        {
            "statement": counted.named(one.query) or " ".join(one.query.split())[:200],
            "foreign_key": one.foreign_key,
            "calls": round(one.calls / count, 5),
            "plan_us": round(one.plan_us / count, 2),
            "exec_us": round(one.exec_us / count, 2),
            "rows": round(one.rows / count, 4),
            "wal_bytes": round(one.wal_bytes / count, 1),
        }
        for one in counted.asked()
    ]


if __name__ == "__main__":
    main()
