"""Measure W3 by every system in turn (A B A B): rates, costs, latencies; and once with a worker's child killed."""

from __future__ import annotations

import os
import signal
import statistics
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from django.db import connection

from benchmarks import accounts, counted, durability, machine, processes, systems
from benchmarks.servers import Worker, until
from benchmarks.systems import Took, summed_up
from benchmarks.telling import say
from runs.models import Run
from workflows.models import Version, Workflow

BASELINE = "chain_prefork"
# The second baseline: the bare chain with its fastest pool.
BEST = "chain_two_solo"
# The share of runs that have ended when the child is killed.
KILLED_AT = 0.3

Workers = Callable[[Path], AbstractContextManager[Worker | tuple[Worker, ...]]]


class Measured(NamedTuple):
    """One system: how its workers are started, the function to measure, and how many runs that performs."""

    name: str
    workers: Workers
    measure: Callable[[int], Took]
    runs: int
    # Whether it writes rows to the database, and whether benchmarks.durability can check them.
    rows: bool = False
    durable: bool = False


class Latent(NamedTuple):
    """One system whose latency on an idle machine is measured."""

    name: str
    workers: Workers
    measure: Callable[[int], list[float]]


@dataclass(frozen=True)
class Size:
    """How much is measured: rounds, a factor for each system's runs, single runs for the latency, which systems."""

    rounds: int = 5
    scale: float = 1.0
    latencies: int = 200
    only: tuple[str, ...] = ()
    # Whether statements are counted, in an extra round.
    counted: bool = True

    def takes(self, name: str) -> bool:
        """Whether this system is measured."""
        return not self.only or name in self.only


def measured(home: Path, *, size: Size) -> dict[str, Any]:
    """Return the whole report. Raises durability.Lost if a run is missing or wrong."""
    before = machine.load_average()
    workflow, version = systems.prepare()
    all_of = [one for one in _systems(workflow, version) if size.takes(one.name)]
    rates = _rates(all_of, workflow, home=home, size=size)
    durable = [one for one in all_of if one.durable]
    return {
        "suite": "w3",
        "rounds": size.rounds,
        "machine": machine.described(),
        "load_average_before": before,
        "runs_per_second": rates["runs_per_second"],
        "costs": rates["costs"],
        "durability": {
            "runs_checked": rates["checked"],
            "killed": {one.name: killed(one, workflow, home=home, size=size) for one in durable},
        },
        "statements": {one.name: statements(one, home=home, size=size) for one in all_of if size.counted and one.rows},
        "latency_seconds": (latencies := _latencies(workflow, version, home=home, size=size)),
        "ratios": _ratios(rates["runs_per_second"], latencies),
    }


def _systems(workflow: Workflow, version: Version) -> list[Measured]:
    singles, bulk = systems.stepwise_singles(workflow), systems.stepwise_bulk(version, workflow)
    # The numbers of runs are chosen so that each takes three to six seconds.
    return [
        Measured(BASELINE, systems.chain_worker, systems.chain_runs, 1500),
        Measured(BEST, systems.chain_solo_workers, systems.chain_runs, 1500),
        Measured("naive_orm", systems.naive_worker, systems.naive_runs, 500, rows=True),
        Measured("stepwise_single", systems.stepwise_worker, singles, 12000, rows=True, durable=True),
        Measured("stepwise_bulk", systems.stepwise_worker, bulk, 60000, rows=True, durable=True),
    ]


def _rates(all_of: list[Measured], workflow: Workflow, *, home: Path, size: Size) -> dict[str, Any]:
    rates: dict[str, list[float]] = {one.name: [] for one in all_of}
    costs: dict[str, dict[str, list[float]]] = {one.name: {} for one in all_of}
    checked = 0
    for number in range(size.rounds):
        for one in all_of:
            count = int(one.runs * size.scale)
            with one.workers(home / f"{one.name}.log") as workers:
                _warm(one, count)
                since = durability.clock()
                with accounts.opened(systems.main_processes(workers)) as account:
                    took = one.measure(count)
            checked += durability.check(workflow, count=count, since=since) if one.durable else 0
            rates[one.name].append(count / took.seconds)
            for name, value in account.for_each(count, callers_cpu=took.callers_cpu).items():
                costs[one.name].setdefault(name, []).append(value)
            say(f"round {number + 1}/{size.rounds}  {one.name:16}  {count / took.seconds:10.0f} runs/s")
    return {
        "runs_per_second": {name: {**summed_up(values), "all": values} for name, values in rates.items()},
        "costs": {name: {key: summed_up(v) for key, v in found.items()} for name, found in costs.items()},
        "checked": checked,
    }


def _warm(one: Measured, count: int) -> None:
    """Warm up: creating plans, prepared statements and connections should be no part of the rate."""
    one.measure(max(16, count // 20))


def killed(one: Measured, workflow: Workflow, *, home: Path, size: Size) -> dict[str, Any]:
    """Measure once more while a child of the worker is killed, and check that no run is lost; not in the medians."""
    count = int(one.runs * size.scale)
    with one.workers(home / f"{one.name}-killed.log") as workers:
        _warm(one, count)
        since = durability.clock()
        killer = _Killer(systems.main_processes(workers)[0], workflow, since=since, at=int(count * KILLED_AT))
        killer.start()
        took = one.measure(count)
        killer.join()
    if not 0 < killer.ended < count:
        raise SystemExit(f"{one.name}: no child was killed in the middle")
    checked = durability.check(workflow, count=count, since=since)
    say(f"child killed  {one.name:16}  {count / took.seconds:10.0f} runs/s, all {checked} found")
    return {"runs": checked, "ended_when_killed": killer.ended, "seconds": round(took.seconds, 3)}


class _Killer(threading.Thread):
    """Sends SIGKILL to a child of the worker when `at` runs have ended."""

    def __init__(self, worker: int, workflow: Workflow, *, since: str, at: int) -> None:
        super().__init__()
        # How many runs had ended when the child was killed; 0 until then.
        self.ended = self._seen = 0
        self._worker, self._at = worker, at
        self._done = Run.objects.filter(workflow=workflow, created_at__gte=since, finished_at__isnull=False)

    def run(self) -> None:
        children = processes.family(self._worker)[1:]
        until(self._enough, what="the runs to end before a child is killed", seconds=systems.END_SECONDS)
        os.kill(children[0], signal.SIGKILL)
        self.ended = self._seen
        connection.close()

    def _enough(self) -> bool:
        self._seen = self._done.count()
        return self._seen >= self._at


def statements(one: Measured, *, home: Path, size: Size) -> dict[str, float]:
    """Measure in an extra round, per run: statements sent, their microseconds, and bytes of WAL."""
    count = int(one.runs * size.scale)
    with counted.counting(), one.workers(home / f"{one.name}-counted.log"):
        _warm(one, count)
        counted.reset()
        one.measure(count)
        asked = counted.asked()
    return {
        "statements": round(sum(found.calls for found in asked if not found.foreign_key) / count, 4),
        "foreign_key_checks": round(sum(found.calls for found in asked if found.foreign_key) / count, 4),
        "plan_us": round(sum(found.plan_us for found in asked) / count, 2),
        "exec_us": round(sum(found.exec_us for found in asked) / count, 2),
        "wal_bytes": round(sum(found.wal_bytes for found in asked) / count, 1),
    }


def _latencies(workflow: Workflow, version: Version, *, home: Path, size: Size) -> dict[str, Any]:
    all_of = [
        Latent(BASELINE, systems.chain_worker, systems.chain_latency),
        Latent("stepwise", systems.stepwise_worker, systems.stepwise_latency(version, workflow)),
    ]
    all_of = [one for one in all_of if size.takes(one.name)]
    found: dict[str, list[tuple[float, float]]] = {one.name: [] for one in all_of}
    for number in range(size.rounds):
        for one in all_of:
            with one.workers(home / f"{one.name}.log"):
                one.measure(max(2, size.latencies // 10))
                time.sleep(1)
                seconds = sorted(one.measure(size.latencies))
            p50, p95 = statistics.median(seconds), seconds[int(len(seconds) * 0.95)]
            found[one.name].append((p50, p95))
            say(f"round {number + 1}/{size.rounds}  {one.name:16}  p50 {p50 * 1000:.2f} ms  p95 {p95 * 1000:.2f} ms")
    return {
        name: {
            figure: {**summed_up(column := [round_[place] for round_ in values]), "all": column}
            for place, figure in enumerate(("p50", "p95"))
        }
        for name, values in found.items()
    }


def _ratios(rates: dict[str, Any], latencies: dict[str, Any]) -> dict[str, Any]:
    """Return the ratio of each system to each bare chain in the same round: the medians and their spread."""
    found = {}
    for base in (name for name in (BASELINE, BEST) if name in rates):
        for name in rates:
            pairs = zip(rates[name]["all"], rates[base]["all"], strict=True)
            found[f"{name}/{base}"] = summed_up([round(mine / bare, 3) for mine, bare in pairs])
    if BASELINE in latencies and "stepwise" in latencies:
        for figure in ("p50", "p95"):
            pairs = zip(latencies["stepwise"][figure]["all"], latencies[BASELINE][figure]["all"], strict=True)
            found[f"latency_{figure}/{BASELINE}"] = summed_up([round(ours / bare, 3) for ours, bare in pairs])
    for name, ratio in found.items():
        say(f"{name:36} {ratio['median']:8.2f}")
    return found
