"""Keep a number of runs under way whose only request is never answered."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from types import TracebackType

from django.db import connection
from django.utils import timezone

from benchmarks import systems
from benchmarks.answering import Server
from benchmarks.servers import until
from benchmarks.telling import say
from runs.control import starts, stops
from runs.domain.actor import Actor
from runs.domain.requests import Request
from runs.models import Run, StepRun

# One attempt, so that a run whose request times out ends and is replaced. The timeout is the action's own (30 s).
DEFINITION = """
name: hung
steps: [{id: ask, action: http_request, with: {url: "{{ input.url }}"}, retry: none}]
"""
LOOK_SECONDS = 0.1
READY_SECONDS = 5.0
# A request that fails sooner was not hung: the action's timeout is 30 s.
SOONEST_SECONDS = 25.0


class Hung:
    """A context manager: `count` such runs are live in its block, and under way if the worker performs so many at once.

    The first ones are started over `over_seconds`, so that they do not all time out at the same moment. A thread
    replaces those that end, and counts running rows and open connections of the server.
    """

    def __init__(self, count: int, server: Server, *, over_seconds: float) -> None:
        self._count, self._server, self._over_seconds = count, server, over_seconds
        self._workflow, self._version = systems.prepare(DEFINITION)
        self._rows: list[int] = []
        self._connections: list[int] = []
        self._since = timezone.now()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep_up, name="hung")

    def __enter__(self) -> Hung:
        if self._count:
            for _ in range(self._count):
                self._start(1)
                time.sleep(self._over_seconds / self._count)
            self._wait_until_under_way()
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._count:
            self._thread.join()

    def figures(self) -> dict[str, float]:
        """Return the fewest running rows and open connections at any look, and how many runs ended too soon."""
        return {
            "hung_running": min(self._rows, default=0),
            "hung_connections": min(self._connections, default=0),
            "hung_too_short": self._too_short(),
        }

    def _start(self, count: int) -> None:
        requests = [Request(input={"url": self._server.url}) for _ in range(count)]
        starts.start(requests, version=self._version, workflow=self._workflow, source="bench")

    def _wait_until_under_way(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while (rows := self._running()) < self._count and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
        if rows < self._count:
            say(f"only {rows} of {self._count} hung runs are under way")

    def _keep_up(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            self._rows.append(self._running())
            self._connections.append(self._server.asked().open)
            live = Run.objects.filter(workflow=self._workflow, finished_at__isnull=True).count()
            if live < self._count:
                self._start(self._count - live)
        connection.close()

    def _running(self) -> int:
        # Without terminated runs: their step stays running until its request ends.
        rows = StepRun.objects.filter(run__workflow=self._workflow, run__finished_at__isnull=True, state="running")
        return rows.count()

    def _too_short(self) -> int:
        ended = Run.objects.filter(workflow=self._workflow, created_at__gte=self._since, finished_at__isnull=False)
        soonest = timedelta(seconds=SOONEST_SECONDS)
        return sum(
            at is not None and at - begun < soonest for begun, at in ended.values_list("created_at", "finished_at")
        )


def end_all() -> None:
    """Terminate every run that has not ended."""

    def ended() -> bool:
        live = list(Run.objects.filter(finished_at__isnull=True).values_list("pk", flat=True)[:500])
        if live:
            stops.terminate(live, actor=Actor(reason="the benchmark's next condition"))
        return not live

    until(ended, what="the runs' termination")
