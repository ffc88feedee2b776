"""`python -m benchmarks.w4`: three requests in turn, by Stepwise and by bare Celery chains, in turn, A B A B.

W4 is a run of three `http_request` steps to a server on this machine, in a process of its own, that answers at once or
after a delay; the bare chain makes the same requests over a kept client of the same library, and keeps no history.
Measured are many runs started together (runs a second, CPU time of the workers per step, the server's apart) and one
run alone (milliseconds from its start to its recorded end).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from benchmarks.answering import Server
    from workflows.models import Version, Workflow

RESULT = Path(__file__).parent / "results" / "w4.json"
DELAYS_SECONDS = (0.0, 0.02)
STEPS = 3
END_SECONDS = 300.0
DEFINITION = """
name: w4
steps:
  - {id: first, action: http_request, with: {url: "{{ input.url }}"}}
  - {id: second, action: http_request, with: {url: "{{ input.url }}"}}
  - {id: third, action: http_request, with: {url: "{{ input.url }}"}}
"""
OURS = "stepwise"


class System(NamedTuple):
    """One way: how its worker is started, what performs `count` runs together, and what measures `count` one by one."""

    name: str
    worker: Callable[[Path], AbstractContextManager[Any]]
    many: Callable[[int], None]
    alone: Callable[[int], list[float]]


def main() -> None:
    """Measure, print and write JSON. Exit status 1 if a run did not succeed, or made another number of requests."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.w4", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=2000, help="runs that are started together")
    parser.add_argument("--latencies", type=int, default=100, help="runs that are measured alone")
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args()

    from benchmarks import servers

    home = servers.start()
    os.environ["OUTBOUND_ALLOW"] = "127.0.0.0/8"
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    from benchmarks import answering, machine

    before = machine.load_average()
    found = {}
    for delay in DELAYS_SECONDS:
        with answering.server(delay) as server:
            found[f"{delay * 1000:g}"] = _rounds(server, home=home, options=options)
    report = {
        "suite": "w4",
        "steps": STEPS,
        "runs": options.count,
        "rounds": options.rounds,
        "machine": machine.described(),
        "load_average_before": before,
        "by_answer_milliseconds": found,
    }
    options.output.write_text(json.dumps(report, indent=2) + "\n")
    _say(f"written to {options.output}")
    if wrong := [delay for delay, one in found.items() if one["wrong"]]:
        _say(f"runs or requests missing or twice, with answers after {', '.join(wrong)} ms")
        sys.exit(1)


def _systems(url: str) -> list[System]:
    from benchmarks import systems
    from benchmarks.baselines import requests_chain
    from benchmarks.servers import Worker, until
    from benchmarks.systems import PREFORK

    def many(count: int) -> None:
        requests_chain.reset()
        requests_chain.publish(count, url)
        until(lambda: requests_chain.done() >= count, what="the chains", seconds=END_SECONDS)

    def alone(count: int) -> list[float]:
        requests_chain.reset()
        began = []
        for number in range(count):
            began.append(time.time())
            requests_chain.publish(1, url)
            time.sleep(systems.UNSEEN_SECONDS)
            until(lambda number=number: requests_chain.done() > number, what="the chain", seconds=END_SECONDS)  # type: ignore[misc]
        return [end - begin for begin, end in zip(began, requests_chain.ended(), strict=True)]

    def celery(*options: str) -> Callable[[Path], AbstractContextManager[Any]]:
        return lambda log: Worker("benchmarks.baselines.requests_chain", *options, log=log)

    workflow, version = systems.prepare(DEFINITION)
    return [
        System("chain_prefork_2", celery(*PREFORK), many, alone),
        System("chain_threads_32", celery("--pool", "threads", "--concurrency", "32"), many, alone),
        System(OURS, systems.stepwise_worker, _many(version, workflow, url), _alone(version, workflow, url)),
    ]


def _many(version: Version, workflow: Workflow, url: str) -> Callable[[int], None]:
    from benchmarks import systems
    from runs.control import starts
    from runs.domain.requests import Request

    def many(count: int) -> None:
        for first in range(0, count, systems.BULK):
            size = min(systems.BULK, count - first)
            requests = [Request(input={"url": url}) for _ in range(size)]
            starts.start(requests, version=version, workflow=workflow, source="bench")
        systems.wait_for_all(workflow)

    return many


def _alone(version: Version, workflow: Workflow, url: str) -> Callable[[int], list[float]]:
    from benchmarks import systems
    from benchmarks.servers import until
    from runs.control import starts
    from runs.domain.requests import Request
    from runs.models import Run

    def alone(count: int) -> list[float]:
        found = []
        for _ in range(count):
            began = time.time()
            [one] = starts.start([Request(input={"url": url})], version=version, workflow=workflow, source="bench")
            time.sleep(systems.UNSEEN_SECONDS)
            mine = Run.objects.filter(pk=one.run_id, finished_at__isnull=False)
            until(mine.exists, what="the run", seconds=END_SECONDS)
            found.append(max(run.finished_at.timestamp() for run in mine if run.finished_at) - began)
        return found

    return alone


def _rounds(server: Server, *, home: Path, options: argparse.Namespace) -> dict[str, Any]:
    from benchmarks import processes

    all_of = _systems(server.url)
    figures: dict[str, dict[str, list[float]]] = {one.name: {} for one in all_of}
    wrong = 0
    for number in range(options.rounds):
        for one in all_of:
            with one.worker(home / f"{one.name}.log") as worker:
                one.many(max(20, options.count // 10))  # warm up: plans, threads and connections
                server.asked()
                spent, began = processes.cpu_seconds(worker.process.pid), time.perf_counter()
                one.many(options.count)
                seconds = time.perf_counter() - began
                spent = processes.cpu_seconds(worker.process.pid) - spent
                wrong += abs(server.asked()[0] - STEPS * options.count)
                time.sleep(1)
                latencies = sorted(one.alone(options.latencies))
            measured = {
                "runs_per_second": options.count / seconds,
                "worker_cpu_ms_per_step": 1000 * spent / (STEPS * options.count),
                "alone_p50_ms": 1000 * statistics.median(latencies),
                "alone_p95_ms": 1000 * latencies[int(len(latencies) * 0.95)],
            }
            for name, value in measured.items():
                figures[one.name].setdefault(name, []).append(value)
            told = "".join(f"  {name} {value:.4g}" for name, value in measured.items())
            _say(f"round {number + 1}/{options.rounds}  {one.name:18}{told}")
    return {"systems": _summed_up(figures), "ratios": _ratios(figures), "wrong": wrong + _not_whole()}


def _summed_up(figures: dict[str, dict[str, list[float]]]) -> dict[str, Any]:
    from benchmarks.systems import summed_up

    return {name: {key: {**summed_up(all_), "all": all_} for key, all_ in one.items()} for name, one in figures.items()}


def _ratios(figures: dict[str, dict[str, list[float]]]) -> dict[str, Any]:
    """Return our figures as multiples of the best bare pool's in the same round: rate by its rate, time by its time."""
    from benchmarks.systems import summed_up

    bare = [one for name, one in figures.items() if name in ("chain_prefork_2", "chain_threads_32")]
    best: dict[str, Callable[..., float]] = {"runs_per_second": max, "alone_p50_ms": min, "alone_p95_ms": min}
    found = {}
    for name, chosen in best.items():
        rounds = zip(figures[OURS][name], *(one[name] for one in bare), strict=True)
        found[f"{name}_of_best_bare_pool"] = summed_up([round(ours / chosen(others), 3) for ours, *others in rounds])
        _say(f"{name:18} {found[f'{name}_of_best_bare_pool']['median']:.2f} times the best bare pool's")
    return found


def _not_whole() -> int:
    """Return how many runs did not succeed with exactly one succeeded row for each step."""
    from django.db.models import Count, Q

    from runs.models import Run

    rows = Count("steps", filter=Q(steps__state="succeeded"))
    return Run.objects.annotate(rows=rows).exclude(state="succeeded", rows=STEPS).count()


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
