"""`make bench`: measure in turn, A B A B, and write figures, ratios and spread to benchmarks/results/."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

RESULTS = Path(__file__).parent / "results"
BASELINE = "chain_prefork"


class Measured(NamedTuple):
    """One system: how its workers are started, what is measured, and how many runs that takes."""

    name: str
    workers: Callable[[Path], AbstractContextManager[Any]]
    measure: Callable[[int], float]
    runs: int


class Latent(NamedTuple):
    """One system's latency when idle."""

    name: str
    workers: Callable[[Path], AbstractContextManager[Any]]
    measure: Callable[[int], list[float]]


def main() -> None:
    """Runs the suite; the exit status is 0 whatever the figures are: what they must be is for the reader."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="about two minutes: fewer runs, three rounds")
    parser.add_argument("--rounds", type=int, help="how often each system is measured (default: 5, quick: 3)")
    parser.add_argument("--output", type=Path, help="where the JSON goes (default: benchmarks/results/)")
    options = parser.parse_args()
    rounds = options.rounds or (3 if options.quick else 5)

    from benchmarks import servers

    home = servers.start()
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    from benchmarks import machine

    before = machine.load_average()
    scale = 0.3 if options.quick else 1.0
    rates = _rates(home, rounds=rounds, scale=scale)
    latencies = _latencies(home, rounds=rounds, count=50 if options.quick else 200)
    report = {
        "suite": "w3",
        "quick": options.quick,
        "rounds": rounds,
        "machine": machine.described(),
        "load_average_before": before,
        "runs_per_second": rates,
        "latency_seconds": latencies,
        "ratios": _ratios(rates, latencies),
    }
    path = options.output or RESULTS / ("w3-quick.json" if options.quick else "w3.json")
    path.write_text(json.dumps(report, indent=2) + "\n")
    _say(f"written to {path}")


def _rates(home: Path, *, rounds: int, scale: float) -> dict[str, Any]:
    from benchmarks import systems

    workflow, version = systems.prepare()
    measured = [
        Measured("chain_prefork", systems.chain_worker, systems.chain_runs, 1500),
        Measured("chain_two_solo", systems.chain_solo_workers, systems.chain_runs, 1500),
        Measured("naive_orm", systems.naive_worker, systems.naive_runs, 500),
        Measured("stepwise_single", systems.stepwise_worker, systems.stepwise_singles(workflow), 4000),
        Measured("stepwise_bulk", systems.stepwise_worker, systems.stepwise_bulk(version, workflow), 20000),
    ]
    found: dict[str, list[float]] = {one.name: [] for one in measured}
    for number in range(rounds):
        for one in measured:
            count = int(one.runs * scale)
            with one.workers(home / f"{one.name}.log"):
                # What starts cold (plans, prepared statements, connections) is no part of the rate.
                one.measure(max(64, count // 20))
                seconds = one.measure(count)
            found[one.name].append(count / seconds)
            _say(f"round {number + 1}/{rounds}  {one.name:16}  {count / seconds:10.0f} runs/s")
    return {name: {**systems.summed_up(values), "all": values} for name, values in found.items()}


def _latencies(home: Path, *, rounds: int, count: int) -> dict[str, Any]:
    from benchmarks import systems

    workflow, version = systems.prepare()
    measured = [
        Latent("chain_prefork", systems.chain_worker, systems.chain_latency),
        Latent("stepwise", systems.stepwise_worker, systems.stepwise_latency(version, workflow)),
    ]
    found: dict[str, list[tuple[float, float]]] = {one.name: [] for one in measured}
    for number in range(rounds):
        for one in measured:
            with one.workers(home / f"{one.name}.log"):
                one.measure(20)
                time.sleep(1)
                seconds = sorted(one.measure(count))
            p50, p95 = statistics.median(seconds), seconds[int(len(seconds) * 0.95)]
            found[one.name].append((p50, p95))
            _say(f"round {number + 1}/{rounds}  {one.name:16}  p50 {p50 * 1000:7.2f} ms  p95 {p95 * 1000:7.2f} ms")
    return {
        name: {"p50": systems.summed_up([v[0] for v in values]), "p95": systems.summed_up([v[1] for v in values])}
        for name, values in found.items()
    }


def _ratios(rates: dict[str, Any], latencies: dict[str, Any]) -> dict[str, float]:
    """Each system over the bare chain of the same round, medians of the ratios."""
    found = {}
    for name, figures in rates.items():
        pairs = zip(figures["all"], rates[BASELINE]["all"], strict=True)
        found[f"{name}/{BASELINE}"] = round(statistics.median(mine / base for mine, base in pairs), 3)
    for figure in ("p50", "p95"):
        ours, base = latencies["stepwise"][figure]["median"], latencies[BASELINE][figure]["median"]
        found[f"latency_{figure}/{BASELINE}"] = round(ours / base, 3)
    for name, ratio in found.items():
        _say(f"{name:36} {ratio:8.2f}")
    return found


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
