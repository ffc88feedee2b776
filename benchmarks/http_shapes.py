"""`python -m benchmarks.http_shapes`: big runs of `http_request` steps: a fan-out, a chain, and a graph.

The requests go to a server on this machine, in a process of its own, that answers at once. The fan-out is one step and
behind it the branches; in turn with it, a bare Celery group sends as many requests over a kept client. In the graph,
every second layer of a hundred steps sends requests, the others are pure. One run at a time, with one worker as
`make up` starts it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks import shapes
from benchmarks.telling import RESULTS, keep, say

if TYPE_CHECKING:
    from benchmarks.answering import Server

RESULT = RESULTS / "http_shapes.json"
WARM = 100
OURS = "stepwise"
# Way -> the columns of all its rounds.
Found = dict[str, dict[str, list[float]]]


class Case(NamedTuple):
    """A shape in one size, how many requests it makes, how often it is measured, and whether a bare group is too."""

    definition: Callable[[int], dict[str, Any]]
    size: int
    requests: int
    rounds: int
    group: bool = False


class Way(NamedTuple):
    """How the worker is started, and what measures once, by the worker with this process id."""

    worker: Callable[[Path], AbstractContextManager[Any]]
    once: Callable[[int], dict[str, float]]


def fan_out(count: int) -> dict[str, Any]:
    """A step, and `count` steps that need it and send a request."""
    branches = [{"id": f"b{number}", "needs": ["root"], **_ask()} for number in range(count)]
    return {"name": f"http-fan-out-{count}", "steps": [{"id": "root", "action": "default"}, *branches]}


def chain(count: int) -> dict[str, Any]:
    """Steps that send a request, each needing the one before."""
    return {"name": f"http-chain-{count}", "steps": [{"id": f"s{number}", **_ask()} for number in range(count)]}


def graph(count: int) -> dict[str, Any]:
    """The graph of benchmarks.shapes, with requests in its second, fourth and every further second layer."""
    found = shapes.graph(count)
    asking = [number // shapes.LAYER % 2 == 1 for number in range(count)]
    steps = [{**step, **_ask()} if ask else step for step, ask in zip(found["steps"], asking, strict=True)]
    return {"name": f"http-graph-{count}", "steps": steps}


def _ask() -> dict[str, Any]:
    return {"action": "http_request", "with": {"url": "{{ input.url }}"}}


def cases(*, scale: float = 1.0, rounds: int | None = None) -> dict[str, Case]:
    """Return what is measured, by name; `scale` multiplies all sizes."""

    def sized(count: int) -> int:
        return max(10, int(count * scale))

    few, many = sized(300), sized(10_000)
    asking = sum(number // shapes.LAYER % 2 for number in range(many))
    return {
        f"fan_out_{few}": Case(fan_out, few, few, rounds or 5, group=True),
        f"fan_out_{many}": Case(fan_out, many, many, rounds or 3, group=True),
        f"chain_{sized(2000)}": Case(chain, sized(2000), sized(2000), rounds or 3),
        f"graph_{many}": Case(graph, many, asking, rounds or 3),
    }


def main() -> None:
    """Measure, print and write JSON. Exit status 1 if a run did not succeed, or made another number of requests."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.http_shapes", description=__doc__)
    parser.add_argument("--rounds", type=int, help="how often each is measured (default: 5, the big ones 3)")
    parser.add_argument("--only", action="append", help="beginnings of the names of what to measure (default: all)")
    parser.add_argument("--scale", type=float, default=1.0, help="factor for all sizes, such as 0.1 for a quick look")
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args()

    from benchmarks import servers, w4

    os.environ["OUTBOUND_ALLOW"] = w4.ALLOWED
    home = servers.up()
    chosen = cases(scale=options.scale, rounds=options.rounds)
    if options.only:
        chosen = {name: case for name, case in chosen.items() if name.startswith(tuple(options.only))}
    report = measured(home, cases_=chosen)
    keep(report, options.output)
    if wrong := [name for name, one in report["cases"].items() if one["wrong"]]:
        sys.exit(f"runs or requests missing or twice: {', '.join(wrong)}")


def measured(home: Path, *, cases_: Mapping[str, Case]) -> dict[str, Any]:
    """Return the whole report. The processes' environment has OUTBOUND_ALLOW."""
    from benchmarks import answering, machine

    before = machine.load_average()
    disk = machine.fdatasync_milliseconds(home)
    with answering.server(0) as server:
        found = {name: _case(name, case, server, home=home) for name, case in cases_.items()}
    return {
        "suite": "http_shapes",
        "machine": machine.described(),
        "load_average_before": before,
        "fdatasync_milliseconds": disk,
        "cases": found,
    }


def _case(name: str, case: Case, server: Server, *, home: Path) -> dict[str, Any]:
    """Measure one case; each round has new workers, so that none has a plan of the definition in its cache."""
    from benchmarks import durability, systems

    began = time.process_time()
    workflow, version = systems.prepare(json.dumps(case.definition(case.size)))
    publish = time.process_time() - began
    warm = systems.prepare(json.dumps(fan_out(WARM)))
    given = {"url": server.url}

    def ours(pid: int) -> dict[str, float]:
        shapes.once(pid, *warm, given=given)  # connections and threads are no part of what is measured
        return shapes.once(pid, workflow, version, given=given)

    ways: dict[str, Way] = _groups(server.url, case.size) if case.group else {}
    ways[OURS] = Way(systems.stepwise_worker, ours)
    found: Found = {way: {} for way in ways}
    wrong = 0
    for number in range(case.rounds):
        for way, (worker, once) in ways.items():
            with worker(home / f"http-shapes-{way}.log") as started:
                server.asked()
                figures = once(started.process.pid)
                wrong += abs(server.asked().requests - WARM - case.requests)
            figures["milliseconds_per_step"] = 1000 * figures["seconds"] / case.size
            for key, value in figures.items():
                found[way].setdefault(key, []).append(value)
            say(f"round {number + 1}/{case.rounds}  {name:16} {way:18} {figures['milliseconds_per_step']:.3f} ms each")
    return {
        "size": case.size,
        "requests": case.requests,
        "rounds": case.rounds,
        "publish_cpu_seconds": round(publish, 3),
        "ways": {way: _summed_up(columns) for way, columns in found.items()},
        "of_best_bare_pool": compared(found),
        "wrong": wrong + durability.without(workflow, rows=case.size + (case.definition is fan_out)),
    }


def compared(found: Found) -> dict[str, Any] | None:
    """Return our seconds as a multiple of the faster bare group's in the same round; None if there is none."""
    from benchmarks.systems import summed_up

    bare = [columns["seconds"] for way, columns in found.items() if way != OURS]
    if not bare:
        return None
    ratios = [round(ours / min(others), 3) for ours, *others in zip(found[OURS]["seconds"], *bare, strict=True)]
    return {**summed_up(ratios), "all": ratios}


def _groups(url: str, count: int) -> dict[str, Way]:
    from benchmarks import processes
    from benchmarks.baselines import request
    from benchmarks.servers import Worker, until
    from benchmarks.systems import PREFORK

    def send(number: int) -> None:
        request.reset()
        request.publish_group(number, url)
        until(lambda: request.done() >= number, what="the group", seconds=shapes.END_SECONDS)

    def once(pid: int) -> dict[str, float]:
        send(WARM)
        spent, began = processes.cpu_seconds(pid), time.perf_counter()
        send(count)
        seconds = time.perf_counter() - began
        return {"seconds": seconds, "worker_cpu_seconds": processes.cpu_seconds(pid) - spent}

    def worker(*options: str) -> Callable[[Path], AbstractContextManager[Any]]:
        return lambda log: Worker("benchmarks.baselines.request", *options, log=log)

    threads = ("--pool", "threads", "--concurrency", "32")
    return {"group_prefork_2": Way(worker(*PREFORK), once), "group_threads_32": Way(worker(*threads), once)}


def _summed_up(columns: Mapping[str, list[float]]) -> dict[str, Any]:
    return {
        key: {"median": statistics.median(all_), "min": min(all_), "max": max(all_), "all": all_}
        for key, all_ in columns.items()
    }


if __name__ == "__main__":
    main()
