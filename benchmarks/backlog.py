"""`python -m benchmarks.backlog`: a backlog of 100,000 queued runs is done exactly once, and the broker stays small.

First there is no worker, while sweeps go on; then one worker is started and works the backlog off.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

RESULT = Path(__file__).parent / "results" / "backlog.json"
# Longer than the 10 s after which a knock that nobody answered is sent again.
AWAY_SECONDS = 25.0
END_SECONDS = 1200.0


def main() -> None:
    """Measure once, print the result and write it as JSON.

    Exit status 1 if a run was not done exactly once, or if more runs were delivered twice than the window holds: a
    knock that nobody answered is sent again when the window has room, and its second delivery writes nothing.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.backlog", description=__doc__)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args()

    from benchmarks import servers

    home = servers.start()
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    report = _measured(home, runs=options.runs)
    options.output.write_text(json.dumps(report, indent=2) + "\n")
    sys.stdout.write(json.dumps(report, indent=2) + f"\nwritten to {options.output}\n")
    doubled = report["stale_deliveries"] > report["window_runs"]
    if doubled or report["runs_not_done_once"] or report["tickets_sent_twice_while_away"]:
        sys.exit(1)


def _measured(home: Path, *, runs: int) -> dict[str, Any]:
    from django.conf import settings

    from benchmarks import machine, systems, work
    from runs.control import starts
    from runs.domain.requests import Request
    from runs.maintenance import sweep
    from runs.models import Run, StepRun, Ticket

    before = machine.load_average()
    workflow, version = systems.prepare()
    with _watched() as broker:
        empty = broker.now()
        began = time.perf_counter()
        for first in range(0, runs, systems.BULK):
            requests = [Request(input=work.given(n)) for n in range(first, min(first + systems.BULK, runs))]
            starts.start(requests, version=version, workflow=workflow, source="bench")
        started = time.perf_counter() - began
        ends = time.monotonic() + AWAY_SECONDS
        while time.monotonic() < ends:
            sweep.sweep()
            time.sleep(0.2)
        away = broker.peak()
        twice = Ticket.objects.filter(sends__gt=1).count()
        queued = Run.objects.filter(state="queued").count()
        began = time.perf_counter()
        log = home / "backlog.log"
        with systems.stepwise_worker(log):
            _wait(lambda: not Run.objects.filter(finished_at__isnull=True).exists())
            worked = time.perf_counter() - began
    steps = len(version.definition["steps"])
    done_once = Run.objects.filter(state="succeeded").count()
    return {
        "runs": runs,
        "machine": machine.described(),
        "load_average_before": before,
        "start_seconds": round(started, 1),
        "without_workers": {"seconds": AWAY_SECONDS, "queued": queued, "broker": away},
        "window_runs": settings.DISPATCH_WINDOW_MESSAGES * settings.PURE_BATCH_RUNS,
        "tickets_sent_twice_while_away": twice,
        "worked_off_seconds": round(worked, 1),
        "runs_per_second": round(runs / worked),
        "stale_deliveries": sum(map(int, re.findall(r"event=stale_delivery.*?count=(\d+)", log.read_text()))),
        "runs_not_done_once": runs - done_once + abs(StepRun.objects.count() - runs * steps),
        "broker_empty": empty,
        "broker_peak": broker.peak(),
    }


class _Broker:
    """Samples of the broker's memory and of the length of its queue."""

    def __init__(self) -> None:
        from runs.dispatch import window

        self._client = window._client()
        self._queue = window._queue()
        self._seen: list[tuple[int, int]] = []

    def look(self) -> None:
        """Take a sample."""
        memory: Any = self._client.info("memory")
        length: Any = self._client.llen(self._queue)
        self._seen.append((int(memory["used_memory"]), int(length)))

    def now(self) -> dict[str, int]:
        """Return the last sample."""
        self.look()
        return {"used_memory_bytes": self._seen[-1][0], "messages": self._seen[-1][1]}

    def peak(self) -> dict[str, int]:
        """Return the largest memory and the largest length so far, each by itself."""
        return {"used_memory_bytes": max(m for m, _ in self._seen), "messages": max(n for _, n in self._seen)}


@contextmanager
def _watched() -> Iterator[_Broker]:
    broker, over = _Broker(), threading.Event()

    def watch() -> None:
        while not over.wait(0.05):
            broker.look()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield broker
    finally:
        over.set()
        thread.join()


def _wait(answers: Any) -> None:
    from benchmarks import servers

    servers.until(answers, what="the runs", seconds=END_SECONDS)


if __name__ == "__main__":
    main()
