"""`python -m benchmarks.concurrency`: rate, latency and messages by number of callers; rate by number of children."""

from __future__ import annotations

import argparse
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.telling import RESULTS, keep, say

if TYPE_CHECKING:
    from workflows.models import Version, Workflow

RESULT = RESULTS / "concurrency.json"
# Number of concurrent callers -> number of processes that they are divided among.
CALLERS = {1: 1, 2: 2, 4: 4, 8: 4, 16: 4, 32: 4}
CHILDREN = (1, 2, 4)


@dataclass(frozen=True)
class Size:
    """How much is measured: rounds, single and bulk runs per round, numbers of callers and of worker children."""

    rounds: int = 5
    singles: int = 2000
    bulk: int = 20000
    callers: tuple[int, ...] = tuple(CALLERS)
    children: tuple[int, ...] = CHILDREN


QUICK = Size(rounds=1, singles=400, bulk=4000, callers=(1, 4, 16))


def main() -> None:
    """Measure, print the figures, and write JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.concurrency", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round, fewer runs")
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args()

    from benchmarks import servers

    home = servers.up()
    keep(measured(home, size=QUICK if options.quick else Size()), options.output)


def measured(home: Path, *, size: Size) -> dict[str, Any]:
    """Return the whole report. Raises durability.Lost if a run is missing or wrong."""
    from benchmarks import machine, systems

    before = machine.load_average()
    workflow, version = systems.prepare()
    return {
        "suite": "concurrency",
        "rounds": size.rounds,
        "runs": {"single": size.singles, "bulk": size.bulk},
        "machine": machine.described(),
        "load_average_before": before,
        "callers": _singles(workflow, home=home, size=size),
        "children": _bulk(version, workflow, home=home, size=size),
    }


def _singles(workflow: Workflow, *, home: Path, size: Size) -> dict[str, Any]:
    from benchmarks import systems

    found: dict[int, list[dict[str, float]]] = {callers: [] for callers in size.callers}
    for _ in range(size.rounds):
        for callers in size.callers:
            with systems.stepwise_worker(home / "concurrency.log") as worker:
                systems.stepwise_singles(workflow, processes=1, threads=1)(50)
                found[callers].append(_at(workflow, callers, worker=worker.process.pid, count=size.singles))
            told = found[callers][-1]
            say(
                f"{callers:3} callers  {told['runs_per_second']:8.0f} runs/s  p50 {told['p50_seconds'] * 1e3:8.2f} ms"
                f"  {told['runs_per_message']:6.1f} runs a message"
            )
    return {str(callers): _summed_up(rounds) for callers, rounds in found.items()}


def _at(workflow: Workflow, callers: int, *, worker: int, count: int) -> dict[str, float]:
    from benchmarks import accounts, durability, systems

    processes = CALLERS[callers]
    since = durability.clock()
    with accounts.opened([worker]) as account:
        took, begun = systems.called(workflow, count, processes=processes, threads=callers // processes)
    durability.check(workflow, count=count, since=since)
    seconds = sorted(_seconds(begun))
    return {
        "runs_per_second": count / took.seconds,
        "p50_seconds": statistics.median(seconds),
        "p95_seconds": seconds[int(len(seconds) * 0.95)],
        **account.for_each(count, callers_cpu=took.callers_cpu),
    }


def _seconds(begun: list[tuple[str, float]]) -> list[float]:
    """Return the seconds from the beginning of each run's call to its recorded end; both clocks are this machine's."""
    from runs.models import Run

    ended = dict(Run.objects.filter(pk__in=[run_id for run_id, _ in begun]).values_list("pk", "finished_at"))
    by_text = {str(run_id): at.timestamp() for run_id, at in ended.items() if at is not None}
    return [by_text[run_id] - began for run_id, began in begun]


def _bulk(version: Version, workflow: Workflow, *, home: Path, size: Size) -> dict[str, Any]:
    from benchmarks import accounts, durability, systems

    measure = systems.stepwise_bulk(version, workflow)
    found: dict[int, list[dict[str, float]]] = {children: [] for children in size.children}
    for _ in range(size.rounds):
        for children in size.children:
            with systems.stepwise_worker(home / "concurrency.log", children=children) as worker:
                measure(max(16, size.bulk // 20))
                since = durability.clock()
                with accounts.opened([worker.process.pid]) as account:
                    took = measure(size.bulk)
            durability.check(workflow, count=size.bulk, since=since)
            told = {
                "runs_per_second": size.bulk / took.seconds,
                **account.for_each(size.bulk, callers_cpu=took.callers_cpu),
            }
            found[children].append(told)
            say(f"bulk, {children} children  {told['runs_per_second']:8.0f} runs/s")
    return {str(children): _summed_up(rounds) for children, rounds in found.items()}


def _summed_up(rounds: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    from benchmarks.systems import summed_up

    return {name: summed_up([one[name] for one in rounds]) for name in rounds[0]}


if __name__ == "__main__":
    main()
