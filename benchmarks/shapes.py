"""`python -m benchmarks.shapes`: big runs of five shapes in three sizes; the cost per step must not grow with the size.

The shapes are: a fan-out and its join; a for_each over pure items; a chain of pure steps; a chain of effectful steps,
each claimed by itself; and a graph in layers, each step of which needs up to two of the layer before. One run at a
time, with one worker as `make up` starts it.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

RESULT = Path(__file__).parent / "results" / "shapes.json"
END_SECONDS = 1800.0
LAYER = 100
MAX_MESSAGE_BYTES = 32 * 1024


class Shape(NamedTuple):
    """Functions that return the definition and the input for a number of steps (or items), and the sizes to measure."""

    definition: Callable[[int], dict[str, Any]]
    given: Callable[[int], dict[str, Any]]
    sizes: tuple[int, ...]


def fan_out(count: int) -> dict[str, Any]:
    """A step, `count` steps that need it, and one that needs them all."""
    branches = [{"id": f"b{n}", "needs": ["root"], **_set(n)} for n in range(count)]
    join = {"id": "join", "needs": [branch["id"] for branch in branches], **_set(count)}
    return {"name": f"fan-out-{count}", "steps": [{"id": "root", "action": "default"}, *branches, join]}


def for_each(count: int) -> dict[str, Any]:
    """A single step over a list."""
    step = {"id": "each", "for_each": {"items": "{{ input.items }}", "batch": 1000}, "action": "compute"}
    return {"name": f"for-each-{count}", "steps": [{**step, "with": {"iterations": 1}}]}


def chain(count: int) -> dict[str, Any]:
    """Pure steps, each needing the one before."""
    return {"name": f"chain-{count}", "steps": [{"id": f"s{n}", **_set(n)} for n in range(count)]}


def effectful_chain(count: int) -> dict[str, Any]:
    """Effectful steps, each needing the one before; each is a link of its own and is claimed by itself."""
    steps = [{"id": f"s{n}", "action": "sleep", "with": {"seconds": 0}} for n in range(count)]
    return {"name": f"effectful-chain-{count}", "steps": steps}


def graph(count: int) -> dict[str, Any]:
    """Layers of a hundred steps; each step needs one or two of the layer before."""
    chance = random.Random(7)  # noqa: S311 - the same graph every time
    steps = []
    for number in range(count):
        before = number // LAYER * LAYER - LAYER
        needs = sorted({f"g{before + chance.randrange(LAYER)}" for _ in range(2)}) if before >= 0 else []
        steps.append({"id": f"g{number}", "needs": needs, **_set(number)})
    return {"name": f"graph-{count}", "steps": steps}


def _set(number: int) -> dict[str, Any]:
    return {"action": "transform", "with": {"set": {"n": number}}}


def _nothing(count: int) -> dict[str, Any]:
    return {}


def _items(count: int) -> dict[str, Any]:
    return {"items": list(range(count))}


SHAPES = {
    "fan_out": Shape(fan_out, _nothing, (1_000, 3_000, 10_000)),
    "for_each": Shape(for_each, _items, (10_000, 30_000, 100_000)),
    "chain": Shape(chain, _nothing, (200, 600, 2_000)),
    "effectful_chain": Shape(effectful_chain, _nothing, (200, 600, 2_000)),
    "graph": Shape(graph, _nothing, (1_000, 3_000, 10_000)),
}


def main() -> None:
    """Measure, print the figures, and write JSON. Exit status 1 if a run failed or a message was too big."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shapes", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", action="append", choices=SHAPES, help="shapes to measure (default: all)")
    parser.add_argument("--scale", type=float, default=1.0, help="factor for all sizes, such as 0.1 for a quick look")
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args()

    from benchmarks import servers

    home = servers.start()
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    from benchmarks import machine

    before = machine.load_average()
    found: dict[str, Any] = {}
    for name in options.only or SHAPES:
        sizes = [max(10, int(size * options.scale)) for size in SHAPES[name].sizes]
        points = [_point(name, size, home=home, rounds=options.rounds) for size in sizes]
        found[name] = {"points": points, **_line(points)}
        _say(f"{name:16} per step, biggest to smallest: {found[name]['ratio_seconds']:.2f} ({_fit(found[name])})")
    report = {"suite": "shapes", "rounds": options.rounds, "machine": machine.described()}
    report |= {"load_average_before": before, "shapes": found}
    options.output.write_text(json.dumps(report, indent=2) + "\n")
    _say(f"written to {options.output}")
    points = [point for one in found.values() for point in one["points"]]
    if any(point["failed"] or point["biggest_message_bytes"] > MAX_MESSAGE_BYTES for point in points):
        sys.exit(1)


def _point(name: str, size: int, *, home: Path, rounds: int) -> dict[str, Any]:
    """Measure one size of one shape; each round has a new worker, which has no plan of it in its cache."""
    from benchmarks import durability, systems

    shape = SHAPES[name]
    definition = shape.definition(size)
    rows = len(definition["steps"]) + (size if name == "for_each" else 0)
    began = time.process_time()
    workflow, version = systems.prepare(json.dumps(definition))
    publish = time.process_time() - began
    rounds_found = []
    for _ in range(rounds):
        with systems.stepwise_worker(home / "shapes.log") as worker:
            rounds_found.append(once(worker.process.pid, workflow, version, given=shape.given(size)))
        _say(f"{name:16} {size:7}" + "".join(f"  {key} {value:.4g}" for key, value in rounds_found[-1].items()))
    medians = {key: statistics.median(one[key] for one in rounds_found) for key in rounds_found[0]}
    return {
        "size": size,
        "publish_cpu_seconds": round(publish, 3),
        **medians,
        "all_seconds": [one["seconds"] for one in rounds_found],
        "steps_and_items": rows,
        "failed": durability.without(workflow, rows=rows),
    }


def once(pid: int, workflow: Any, version: Any, *, given: dict[str, Any]) -> dict[str, float]:
    """Perform one run, by the worker whose main process is `pid`: its seconds, CPU seconds, and peaks of memory."""
    from benchmarks import processes
    from benchmarks.servers import until
    from runs.control import starts
    from runs.domain import requests
    from runs.models import Run

    server = processes.parent(_backend())
    with _watched(pid, server) as peaks:
        spent, spent_there = processes.cpu_seconds(pid), processes.cpu_seconds(server)
        began = time.perf_counter()
        starts.start([requests.Request(input=given)], version=version, workflow=workflow, source="bench")
        left = Run.objects.filter(workflow=workflow, finished_at__isnull=True)
        until(lambda: not left.exists(), what="the run", seconds=END_SECONDS)
        seconds = time.perf_counter() - began
        found = {
            "seconds": seconds,
            "worker_cpu_seconds": processes.cpu_seconds(pid) - spent,
            "postgres_cpu_seconds": processes.cpu_seconds(server) - spent_there,
        }
    return {**found, **peaks}


def _backend() -> int:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


@contextmanager
def _watched(worker: int, server: int) -> Iterator[dict[str, float]]:
    """Sample, during a block, the peak memory of worker and PostgreSQL, and the biggest message in the broker."""
    from benchmarks import processes
    from runs.dispatch import window

    client, queue, over = window._client(), window._queue(), threading.Event()
    peaks = {"worker_mib": 0.0, "postgres_mib": 0.0, "biggest_message_bytes": 0.0}

    def most(name: str, value: float) -> None:
        peaks[name] = max(peaks[name], value)

    def watch() -> None:
        looks = 0
        while not over.wait(0.02):
            messages: Any = client.lrange(queue, 0, -1)
            most("biggest_message_bytes", max((len(message) for message in messages), default=0))
            if looks % 25 == 0:
                most("worker_mib", sum(map(processes.memory_mib, processes.family(worker))))
                most("postgres_mib", sum(map(processes.memory_mib, processes.family(server))))
            looks += 1

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peaks
    finally:
        over.set()
        thread.join()


def _line(points: list[dict[str, Any]]) -> dict[str, Any]:
    """Fit a line to seconds and CPU seconds by size; also the cost per step at the biggest size, to the smallest."""
    sizes = [point["size"] for point in points]
    found: dict[str, Any] = {}
    for name, cost in (
        ("seconds", [point["seconds"] for point in points]),
        ("cpu_seconds", [point["worker_cpu_seconds"] + point["postgres_cpu_seconds"] for point in points]),
    ):
        slope, intercept = statistics.linear_regression(sizes, cost)
        found[f"fit_{name}"] = {
            "per_step": slope,
            "intercept": intercept,
            "r_squared": statistics.correlation(sizes, cost) ** 2,
        }
        found[f"ratio_{name}"] = (cost[-1] / sizes[-1]) / (cost[0] / sizes[0])
    return found


def _fit(found: dict[str, Any]) -> str:
    line = found["fit_seconds"]
    return (
        f"{line['per_step'] * 1e6:.0f} us a step and {line['intercept']:.2f} s, r2 {line['r_squared']:.4f}; "
        f"by CPU time {found['ratio_cpu_seconds']:.2f}"
    )


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
