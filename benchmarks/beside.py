"""Compare rates and latency of W3 in a full database and in an empty one of the same server, measured in turn.

`python -m benchmarks.beside` measures once, in the database that the environment names, and prints JSON.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.telling import say
from project.env import BASE_DIR

BULK, SINGLE, LATENCIES = 20_000, 4_000, 200


def compared(*, rounds: int) -> dict[str, Any]:
    """Return, for each figure, the median and spread in both databases, and of the ratio full/empty in each round."""
    from benchmarks.systems import summed_up

    found: dict[str, dict[str, list[float]]] = {}
    databases = {"empty": os.environ["EMPTY_DATABASE_URL"], "full": os.environ["DATABASE_URL"]}
    for number in range(rounds):
        for name, url in databases.items():
            for figure, value in _taken(url).items():
                found.setdefault(figure, {}).setdefault(name, []).append(value)
        line = "  ".join(f"{figure} {both['full'][-1] / both['empty'][-1]:.2f}" for figure, both in found.items())
        say(f"round {number + 1}/{rounds}  full to empty: {line}")
    return {
        figure: {
            "empty": summed_up(both["empty"]),
            "full": summed_up(both["full"]),
            "ratio": summed_up([full / empty for full, empty in zip(both["full"], both["empty"], strict=True)]),
        }
        for figure, both in found.items()
    }


def _taken(url: str) -> dict[str, float]:
    answer = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "benchmarks.beside"],
        cwd=BASE_DIR,
        env={**os.environ, "DATABASE_URL": url},
        stdout=subprocess.PIPE,
        check=True,
    )
    figures: dict[str, float] = json.loads(answer.stdout)
    return figures


def main() -> None:
    """Measure in the database of the environment, and print JSON."""
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    from benchmarks import systems

    workflow, version = systems.prepare()
    bulk, singles = systems.stepwise_bulk(version, workflow), systems.stepwise_singles(workflow)
    latency = systems.stepwise_latency(version, workflow)
    with systems.stepwise_worker(Path(os.environ["STEPWISE_HOME"]).with_name("beside.log")):
        bulk(BULK // 20)
        told = {"bulk_runs_per_second": BULK / bulk(BULK).seconds}
        singles(SINGLE // 20)
        told["single_runs_per_second"] = SINGLE / singles(SINGLE).seconds
        latency(LATENCIES // 10)
        seconds = sorted(latency(LATENCIES))
    told["latency_p50_seconds"] = statistics.median(seconds)
    told["latency_p95_seconds"] = seconds[int(len(seconds) * 0.95)]
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main()
