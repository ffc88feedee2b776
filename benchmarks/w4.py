"""`python -m benchmarks.w4`: three requests in turn, by Stepwise and by other ways to do it, in turn, A B A B.

W4 is a run of three `http_request` steps to a server on this machine, in a process of its own, that answers at once or
after a delay. The bare chain makes the same requests over a kept client and keeps no history; the naive app saves an
ORM row before and after each request. Measured are many runs started together (runs a second, CPU time of a step by
kind of process) and one run alone (milliseconds from its start to its recorded end).
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.telling import RESULTS, keep, say

if TYPE_CHECKING:
    from benchmarks.answering import Server
    from benchmarks.w4_systems import System

RESULT = RESULTS / "w4.json"
# For the workers, which may not send requests to this machine otherwise.
ALLOWED = "127.0.0.0/8"
# Figures of one round: name -> all rounds' values.
Figures = dict[str, list[float]]


@dataclass(frozen=True)
class Size:
    """How much is measured: rounds, runs started together, runs alone, delays of the answers, which systems."""

    rounds: int = 5
    runs: int = 2000
    latencies: int = 100
    delays: tuple[float, ...] = (0.0, 0.02)
    only: tuple[str, ...] = ()


QUICK = Size(rounds=2, runs=300, latencies=20, delays=(0.0,))


def main() -> None:
    """Measure, print and write JSON. Exit status 1 if a run did not succeed, or made another number of requests."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.w4", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=2000, help="runs that are started together")
    parser.add_argument("--latencies", type=int, default=100, help="runs that are measured alone")
    parser.add_argument("--only", action="append", default=[], help="a system to measure (default: all)")
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args()

    from benchmarks import servers

    os.environ["OUTBOUND_ALLOW"] = ALLOWED
    home = servers.up()
    size = Size(options.rounds, options.count, options.latencies, only=tuple(options.only))
    report = measured(home, size=size)
    keep(report, options.output)
    if found := wrong(report):
        sys.exit(found)


def measured(home: Path, *, size: Size) -> dict[str, Any]:
    """Return the whole report. The processes' environment has OUTBOUND_ALLOW."""
    from benchmarks import answering, machine
    from benchmarks.w4_systems import STEPS

    before = machine.load_average()
    disk = machine.fdatasync_milliseconds(home)
    found = {}
    for delay in size.delays:
        with answering.server(delay) as server:
            found[f"{delay * 1000:g}"] = _rounds(server, home=home, delay=delay, size=size)
    return {
        "suite": "w4",
        "steps": STEPS,
        "runs": size.runs,
        "latencies": size.latencies,
        "rounds": size.rounds,
        "machine": machine.described(),
        "load_average_before": before,
        "fdatasync_milliseconds": disk,
        "by_answer_milliseconds": found,
    }


def wrong(report: Mapping[str, Any]) -> str:
    """Return a sentence if runs or requests were missing or too many, else an empty string."""
    delays = [delay for delay, one in report["by_answer_milliseconds"].items() if one["wrong"]]
    return f"W4: runs or requests missing or twice, with answers after {', '.join(delays)} ms" if delays else ""


def _rounds(server: Server, *, home: Path, delay: float, size: Size) -> dict[str, Any]:
    from benchmarks import w4_systems

    systems = w4_systems.all_of(server.url, delay=delay, only=size.only)
    runs = {one.name: one.runs(size.runs, delay=delay) for one in systems}
    figures: dict[str, Figures] = {one.name: {} for one in systems}
    requests_wrong = 0
    for number in range(size.rounds):
        for one in systems:
            found, requests = _measured(one, server, log=home / f"w4-{one.name}.log", count=runs[one.name], size=size)
            requests_wrong += abs(requests - w4_systems.STEPS * runs[one.name])
            for name, value in found.items():
                figures[one.name].setdefault(name, []).append(value)
            say(f"round {number + 1}/{size.rounds}  {delay * 1000:g} ms  {one.name:18}{_shown(found)}")
    ratios = compared(figures)
    for name, ratio in ratios.items():
        say(f"{name:42} {ratio['median']:.2f}")
    return {
        "runs": runs,
        "systems": _summed_up(figures),
        "ratios": ratios,
        "wrong": requests_wrong + _not_whole(),
    }


def _measured(one: System, server: Server, *, log: Path, count: int, size: Size) -> tuple[dict[str, float], int]:
    """Measure one system in one round: return its figures, and how many requests the runs started together made."""
    from benchmarks import accounts, processes, systems
    from benchmarks.w4_systems import STEPS

    with one.worker(log) as worker:
        one.many(max(20, count // 10))  # warm up: plans, threads and connections
        server.asked()
        there = processes.cpu_seconds(server.pid)
        with accounts.opened(systems.main_processes(worker)) as account:
            took = one.many(count)
        there = processes.cpu_seconds(server.pid) - there
        requests = server.asked().requests
        one.alone(max(2, size.latencies // 10))
        time.sleep(1)
        latencies = sorted(one.alone(size.latencies))
    costs = account.for_each(STEPS * count, callers_cpu=took.callers_cpu)
    return {
        "runs_per_second": count / took.seconds,
        "alone_p50_ms": 1000 * statistics.median(latencies),
        "alone_p95_ms": 1000 * latencies[int(len(latencies) * 0.95)],
        **{name: value for name, value in costs.items() if name != "runs_per_message"},
        "cpu_us_server": 1e6 * there / (STEPS * count),
    }, requests


def _shown(found: Mapping[str, float]) -> str:
    worker = found["cpu_us_worker_main"] + found["cpu_us_worker_children"]
    return (
        f"  {found['runs_per_second']:7.1f} runs/s  alone p50 {found['alone_p50_ms']:.2f} ms"
        f"  p95 {found['alone_p95_ms']:.2f} ms  worker {worker:.0f} us a step"
    )


def _summed_up(figures: Mapping[str, Figures]) -> dict[str, Any]:
    from benchmarks.systems import summed_up

    return {name: {key: {**summed_up(all_), "all": all_} for key, all_ in one.items()} for name, one in figures.items()}


def compared(figures: Mapping[str, Figures]) -> dict[str, dict[str, Any]]:
    """Return our figures as multiples of the best bare pool's in the same round: rate by its rate, time by its time.

    Empty if Stepwise or all bare pools were left out.
    """
    from benchmarks.systems import summed_up
    from benchmarks.w4_systems import BARE_POOLS, OURS

    bare = [figures[name] for name in BARE_POOLS if name in figures]
    if not bare or OURS not in figures:
        return {}
    best: dict[str, Callable[..., float]] = {"runs_per_second": max, "alone_p50_ms": min, "alone_p95_ms": min}
    found = {}
    for name, chosen in best.items():
        rounds = zip(figures[OURS][name], *(one[name] for one in bare), strict=True)
        ratios = [round(ours / chosen(others), 3) for ours, *others in rounds]
        found[f"{name}_of_best_bare_pool"] = {**summed_up(ratios), "all": ratios}
    return found


def _not_whole() -> int:
    """Return how many W4 runs did not succeed with exactly one succeeded row for each step."""
    from benchmarks import durability
    from benchmarks.w4_systems import NAME, STEPS
    from workflows.models import Workflow

    return sum(durability.without(one, rows=STEPS) for one in Workflow.objects.filter(name=NAME))


if __name__ == "__main__":
    main()
