"""`python -m benchmarks.neighbours`: how long runs take beside runs whose requests are never answered.

One worker with the default settings, as `make up` starts it. Runs of pure steps (W3), or of one quick `http_request`,
are started five times a second: alone, then beside 8 and beside 80 runs that each send one request to a server that
accepts and never answers. A run's time is from before the call that starts it to its recorded end.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.telling import RESULTS, keep, say

if TYPE_CHECKING:
    from uuid import UUID

RESULT = RESULTS / "neighbours.json"
PER_SECOND = 5
# A run that takes longer counts as this long.
LONGEST_SECONDS = 20.0
WARM = 20


@dataclass(frozen=True)
class Size:
    """How much is measured: rounds, seconds of each window, numbers of hung neighbours, and kinds of measured runs."""

    rounds: int = 5
    seconds: float = 30.0
    hung: tuple[int, ...] = (8, 80)
    kinds: tuple[str, ...] = ("pure", "quick")


QUICK = Size(rounds=1, seconds=6.0)


class Times(NamedTuple):
    """What a window showed: the seconds of each run, how many had not ended, and how many ended in failure."""

    seconds: Sequence[float]
    not_ended: int
    failed: int


def main() -> None:
    """Measure, print and write JSON. Exit status 1 if a measured run failed, or a neighbour did not hang."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.neighbours", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of short windows")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, help="how long each window lasts")
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args()

    from benchmarks import servers, w4

    os.environ["OUTBOUND_ALLOW"] = w4.ALLOWED
    home = servers.up()
    base = QUICK if options.quick else Size()
    report = measured(home, size=Size(options.rounds or base.rounds, options.seconds or base.seconds))
    keep(report, options.output)
    if found := wrong(report):
        sys.exit(found)


def measured(home: Path, *, size: Size) -> dict[str, Any]:
    """Return the whole report. The processes' environment has OUTBOUND_ALLOW."""
    from benchmarks import answering, machine

    before = machine.load_average()
    disk = machine.fdatasync_milliseconds(home)
    found: dict[str, dict[str, list[dict[str, float]]]] = {kind: {} for kind in size.kinds}
    with answering.server(0) as server:
        for number in range(size.rounds):
            for kind in size.kinds:
                for hung in (0, *size.hung):
                    window = _window(_starter(kind, server.url), hung=hung, home=home, seconds=size.seconds)
                    found[kind].setdefault(str(hung), []).append(window)
                    _tell(f"round {number + 1}/{size.rounds}  {kind:5} beside {hung:2}", window)
    return {
        "suite": "neighbours",
        "rounds": size.rounds,
        "seconds": size.seconds,
        "per_second": PER_SECOND,
        "longest_seconds": LONGEST_SECONDS,
        "machine": machine.described(),
        "load_average_before": before,
        "fdatasync_milliseconds": disk,
        "conditions": {kind: {hung: _summed_up(all_) for hung, all_ in one.items()} for kind, one in found.items()},
        "ratios": compared(found),
    }


def wrong(report: Mapping[str, Any]) -> str:
    """Return what makes the figures worthless, as a sentence; an empty string if nothing does."""
    faults = []
    for kind, conditions in report["conditions"].items():
        for hung, one in conditions.items():
            if failed := sum(one["failed"]["all"]):
                faults.append(f"{failed:g} {kind} runs beside {hung} hung ones failed")
            if short := sum(one["hung_too_short"]["all"]):
                faults.append(f"{short:g} runs beside {kind} ones did not hang ({hung} were to)")
    return f"neighbours: {'; '.join(faults)}" if faults else ""


def compared(found: Mapping[str, Mapping[str, Sequence[Mapping[str, float]]]]) -> dict[str, dict[str, Any]]:
    """Return the p95 beside hung runs as a multiple of the p95 alone in the same round, by kind and number of them."""
    from benchmarks.systems import summed_up

    ratios: dict[str, dict[str, Any]] = {}
    for kind, conditions in found.items():
        for hung, rounds in conditions.items():
            if hung != "0":
                pairs = zip(rounds, conditions["0"], strict=True)
                all_ = [round(beside["p95_ms"] / alone["p95_ms"], 3) for beside, alone in pairs]
                ratios[f"{kind}_{hung}"] = {**summed_up(all_), "all": all_}
    return ratios


def figures(times: Times, beside: Mapping[str, float]) -> dict[str, float]:
    """Return the figures of one window, milliseconds and counts; `beside` are those of the hung neighbours."""
    ordered = sorted(times.seconds)
    return {
        "runs": len(ordered),
        "p50_ms": 1000 * statistics.median(ordered),
        "p95_ms": 1000 * ordered[math.ceil(len(ordered) * 0.95) - 1],
        "max_ms": 1000 * ordered[-1],
        "not_ended": times.not_ended,
        "failed": times.failed,
        **beside,
    }


def _starter(kind: str, url: str) -> Callable[[], UUID]:
    from benchmarks import systems, work
    from runs.control import starts
    from runs.domain.requests import Request

    text = QUICK_RUN if kind == "quick" else work.DEFINITION
    given: dict[str, Any] = {"url": url} if kind == "quick" else work.given(0)
    workflow, version = systems.prepare(text)

    def start() -> UUID:
        [one] = starts.start([Request(input=given)], version=version, workflow=workflow, source="bench")
        return one.run_id

    return start


QUICK_RUN = """
name: quick
steps: [{id: ask, action: http_request, with: {url: "{{ input.url }}"}}]
"""


def _window(start: Callable[[], UUID], *, hung: int, home: Path, seconds: float) -> dict[str, float]:
    """Measure one condition with a worker and a silent server of its own; afterwards no run is left."""
    from benchmarks import answering, systems
    from benchmarks.hung import Hung, end_all

    with systems.stepwise_worker(home / "neighbours.log"), answering.server(answering.NEVER) as silent:
        for _ in range(WARM):
            _finished([start()], until=time.monotonic() + LONGEST_SECONDS)
        with Hung(hung, silent, over_seconds=seconds / 10) as neighbours:
            begun = _started(start, seconds=seconds)
            times = _times(begun)
            beside = neighbours.figures()
        end_all()
    return figures(times, beside)


def _started(start: Callable[[], UUID], *, seconds: float) -> dict[UUID, float]:
    """Start runs at an even pace, and return the time before each call, by the machine's clock."""
    begun = {}
    first = time.monotonic()
    for number in range(max(2, int(seconds * PER_SECOND))):
        time.sleep(max(0.0, first + number / PER_SECOND - time.monotonic()))
        began = time.time()
        begun[start()] = began
    return begun


def _times(begun: Mapping[UUID, float]) -> Times:
    """Wait for the runs' ends, none longer than LONGEST_SECONDS, and return their seconds."""
    ended = _finished(list(begun), until=time.monotonic() + LONGEST_SECONDS)
    took = [ended[run][1] - began if run in ended else math.inf for run, began in begun.items()]
    return Times(
        seconds=[min(one, LONGEST_SECONDS) for one in took],
        not_ended=sum(one > LONGEST_SECONDS for one in took),
        failed=sum(state != "succeeded" for state, _ in ended.values()),
    )


def _finished(runs: Sequence[UUID], *, until: float) -> dict[UUID, tuple[str, float]]:
    """Return state and end of the runs that have ended by the time `until`, or as soon as all have."""
    from runs.models import Run

    while True:
        rows = Run.objects.filter(pk__in=runs, finished_at__isnull=False).values_list("pk", "state", "finished_at")
        ended = {pk: (state, at.timestamp()) for pk, state, at in rows if at is not None}
        if len(ended) == len(runs) or time.monotonic() > until:
            return ended
        time.sleep(0.02)


def _summed_up(rounds: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    from benchmarks.systems import summed_up

    columns = {name: [one[name] for one in rounds] for name in rounds[0]}
    return {name: {**summed_up(column), "all": column} for name, column in columns.items()}


def _tell(what: str, found: Mapping[str, float]) -> None:
    say(
        f"{what}  p50 {found['p50_ms']:8.2f} ms  p95 {found['p95_ms']:9.2f} ms  not ended {found['not_ended']:g} of"
        f" {found['runs']:g}  fewest hung: {found['hung_running']:g} rows, {found['hung_connections']:g} connections"
    )


if __name__ == "__main__":
    main()
