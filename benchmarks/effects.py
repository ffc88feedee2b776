"""`python -m benchmarks.effects`: 1,000 requests to a server that answers after 100 ms, by each system in turn.

Stepwise has one worker, as `make up` starts it. It is measured with 1,000 runs of one http_request step, and with one
run with a for_each over 1,000 items. The baseline is a bare Celery task that sends the same request, with several kinds
of pools.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from runs.models import Run

RESULT = Path(__file__).parent / "results" / "effects.json"
ANSWER_SECONDS = 0.1
END_SECONDS = 300.0
RUNS = """
name: ask
steps: [{id: ask, action: http_request, with: {url: "{{ input.url }}"}}]
"""
LIST = """
name: ask-list
steps:
  - id: ask
    action: http_request
    for_each: {items: "{{ range(input.count) }}", max_parallel: 200, batch: 1000}
    with: {url: "{{ input.url }}"}
"""


class System(NamedTuple):
    """One way to send requests: `ask` sends `count` of them, by the worker that the context manager starts."""

    name: str
    worker: Callable[[Path], AbstractContextManager[Any]]
    ask: Callable[[int], None]


def main() -> None:
    """Measure, print the figures, and write JSON. Exit status 1 if a run failed, or a request was sent twice."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.effects", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--only", action="append", help="names of systems to measure (default: all)")
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args()

    from benchmarks import answering, servers

    home = servers.start()
    with answering.server(ANSWER_SECONDS) as server:
        host = server.url.removeprefix("http://").rstrip("/")
        os.environ["OUTBOUND_ALLOW"] = host
        import django

        django.setup()
        from django.conf import settings
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        from benchmarks import machine

        before = machine.load_average()
        systems = [one for one in _systems(server.url) if not options.only or one.name in options.only]
        found = _rounds(systems, server, home=home, rounds=options.rounds, count=options.count)
        report = {
            "suite": "effects",
            "answer_seconds": ANSWER_SECONDS,
            "requests": options.count,
            "rounds": options.rounds,
            "io_threads": settings.IO_THREADS,
            "batch_runs": settings.EFFECTFUL_BATCH_RUNS,
            "machine": machine.described(),
            "load_average_before": before,
            "systems": found,
        }
    options.output.write_text(json.dumps(report, indent=2) + "\n")
    _say(f"written to {options.output}")
    wrong = [name for name, one in found.items() if one["requests_too_many"] or one["not_succeeded"]]
    if wrong:
        _say(f"not once each: {', '.join(wrong)}")
        sys.exit(1)


def _systems(url: str) -> list[System]:
    from benchmarks.baselines import request
    from benchmarks.servers import Worker
    from benchmarks.systems import PREFORK

    def asked(count: int) -> None:
        from benchmarks.servers import until

        request.reset()
        request.publish(count, url)
        until(lambda: request.done() >= count, what="the requests", seconds=END_SECONDS)

    def celery(*options: str) -> Callable[[Path], AbstractContextManager[Any]]:
        return lambda log: Worker("benchmarks.baselines.request", *options, log=log)

    def stepwise(log: Path) -> AbstractContextManager[Any]:
        return Worker("project", *PREFORK, log=log)

    return [
        System("celery_prefork_2", celery(*PREFORK), asked),
        System("celery_threads_16", celery("--pool", "threads", "--concurrency", "16"), asked),
        System("celery_threads_100", celery("--pool", "threads", "--concurrency", "100"), asked),
        System("stepwise_runs", stepwise, _runs(RUNS, url, one_run=False)),
        System("stepwise_for_each", stepwise, _runs(LIST, url, one_run=True)),
    ]


def _runs(text: str, url: str, *, one_run: bool) -> Callable[[int], None]:
    from benchmarks import systems
    from benchmarks.servers import until
    from runs.control import starts
    from runs.domain.requests import Request
    from runs.models import Run

    workflow, version = systems.prepare(text)

    def ask(count: int) -> None:
        given = [Request(input={"url": url, "count": count}) for _ in range(1 if one_run else count)]
        starts.start(given, version=version, workflow=workflow, source="bench")
        left = Run.objects.filter(workflow=workflow, finished_at__isnull=True)
        until(lambda: not left.exists(), what="the runs", seconds=END_SECONDS)

    return ask


def _rounds(systems: list[System], server: Any, *, home: Path, rounds: int, count: int) -> dict[str, Any]:
    from runs.models import Run

    warm = max(10, count // 10)
    found: dict[str, dict[str, list[float]]] = {one.name: {} for one in systems}
    for number in range(rounds):
        for one in systems:
            log = home / f"{one.name}.log"
            with one.worker(log) as worker:
                one.ask(warm)  # warm up: the creation of plans, connections and threads is no part of the rate
                server.asked()
                with _watched(worker.process.pid) as seen:
                    began = time.perf_counter()
                    one.ask(count)
                    seconds = time.perf_counter() - began
                requests, connections, _ = server.asked()
            figures = {"requests_per_second": count / seconds, "connections": connections, **seen()}
            figures["requests_too_many"] = requests - count
            for name, value in figures.items():
                found[one.name].setdefault(name, []).append(value)
            _say(f"round {number + 1}/{rounds}  {one.name:20}" + "".join(f"  {k} {v:.4g}" for k, v in figures.items()))
    bad = sum(not _whole(run) for run in Run.objects.select_related("workflow"))
    return {
        name: {
            **{
                key: {"median": statistics.median(v), "min": min(v), "max": max(v), "all": v} for key, v in all_.items()
            },
            "requests_too_many": sum(all_["requests_too_many"]),
            "not_succeeded": bad if name.startswith("stepwise") else 0,
        }
        for name, all_ in found.items()
    }


def _whole(run: Run) -> bool:
    """Whether the run succeeded, and has exactly one succeeded row for its step and for each item."""
    items = run.input["count"] if run.workflow.name == "ask-list" else 0
    rows: int = run.steps.filter(state="succeeded").count()
    return run.state == "succeeded" and rows == 1 + items


@contextmanager
def _watched(pid: int) -> Iterator[Callable[[], dict[str, float]]]:
    """Sample the worker's processes during a block: the most threads in one process, CPU seconds and memory of all."""
    from benchmarks import processes

    over = threading.Event()
    threads, memory = [0], [0.0]
    before = processes.cpu_seconds(pid)

    def look() -> None:
        while not over.wait(0.05):
            threads.append(max(processes.threads(one) for one in processes.family(pid)))
            memory.append(sum(processes.memory_mib(one) for one in processes.family(pid)))

    thread = threading.Thread(target=look)
    thread.start()
    spent = [0.0]
    try:
        yield lambda: {"threads": max(threads), "cpu_seconds": spent[0], "memory_mib": max(memory)}
    finally:
        over.set()
        thread.join()
        spent[0] = processes.cpu_seconds(pid) - before


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
