"""`python -m benchmarks.fairness`: how long runs of a workspace take beside the floods of another workspace.

One worker with the default settings, as `make up` starts it. A good workspace starts runs of three pure steps (W3) five
times a second: alone, beside an honest workspace that keeps the worker as busy with runs of the same kind, and beside
each of several floods. A run's time is from before the call that starts it to its recorded end.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.neighbours import LONGEST_SECONDS, PER_SECOND, Times, figures
from benchmarks.telling import RESULTS, keep, say

if TYPE_CHECKING:
    from uuid import UUID

RESULT = RESULTS / "fairness.json"
WARM = 10
ALONE, HONEST = "alone", "honest"
# Runs of a flood that are live at any time are topped up to its number this often.
LOOK_SECONDS = 0.2
MOST_AT_ONCE = 200
# How long it may take until a flood is there.
LONGEST_BEGIN_SECONDS = 120.0

_ONCE = "retry: none"
_NEVER = f'with: {{url: "{{{{ input.url }}}}"}}, {_ONCE}'
# Takes longer than the two seconds of processor time that an expression has, whatever the machine.
_COUNT = "(range(10000)|select('in', range(10000)|list|reverse)|list|length)"
_BOMB = f'"{{{{ {" + ".join([_COUNT] * 8)} }}}}"'


@dataclass(frozen=True)
class Flood:
    """Runs of another workspace: its definition, how many are live at once, and the input of each."""

    definition: str
    live: int
    given: Callable[[str], Any] = lambda url: {"url": url}


def _wide(width: int) -> str:
    lines = "\n".join(
        f"  - {{id: b{n}, needs: [root], action: compute, with: {{iterations: 1}}}}" for n in range(width)
    )
    return f"name: flood-fan-out\nsteps:\n  - {{id: root, action: default}}\n{lines}"


def floods() -> dict[str, Flood]:
    """Return the floods by name."""
    from benchmarks import work

    return {
        HONEST: Flood(work.DEFINITION.replace("w3", "flood-honest"), 1000, lambda _: work.given(1)),
        "sleeps": Flood("name: flood-sleeps\nsteps: [{id: a, action: sleep, with: {seconds: 1}}]", 20_000),
        "fan_out": Flood(_wide(10_000), 1),
        "for_each": Flood(
            "name: flood-for-each\n"
            'steps: [{id: a, for_each: {items: "{{ input.items }}", batch: 1000}, action: default}]',
            1,
            lambda _: {"items": list(range(100_000))},
        ),
        "bombs": Flood(
            f"name: flood-bombs\nsteps: [{{id: a, action: transform, {_ONCE}, with: {{set: {{n: {_BOMB}}}}}}}]",
            200,
        ),
        "effect_bombs": Flood(
            f"name: flood-effect-bombs\nsteps: [{{id: a, action: sleep, {_ONCE}, with: {{seconds: {_BOMB}}}}}]",
            200,
        ),
        "output_bombs": Flood(
            f"name: flood-output-bombs\nsteps: [{{id: a, action: default}}]\noutput: {{n: {_BOMB}}}",
            200,
        ),
        "large": Flood(
            'name: flood-large\nsteps: [{id: a, action: transform, with: {set: {n: "{{ input.text|length }}"}}}]',
            10,
            lambda _: {"text": "x" * 9_000_000},
        ),
        "slow_servers": Flood(f"name: flood-slow\nsteps: [{{id: a, action: http_request, {_NEVER}}}]", 2000),
    }


def main() -> None:
    """Measure, print and write JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fairness", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short windows")
    parser.add_argument("--seconds", type=float, help="how long each window lasts")
    parser.add_argument("--only", nargs="+", help=f"some of the floods (and {ALONE})")
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args()

    import os

    from benchmarks import servers, w4

    os.environ["OUTBOUND_ALLOW"] = w4.ALLOWED
    home = servers.up()
    seconds = options.seconds or (8.0 if options.quick else 30.0)
    keep(measured(home, seconds=seconds, only=options.only), options.output)


def measured(home: Path, *, seconds: float, only: Sequence[str] | None) -> dict[str, Any]:
    """Return the whole report."""
    from benchmarks import answering, machine

    before = machine.load_average()
    conditions: dict[str, Mapping[str, float]] = {}
    with answering.server(answering.NEVER) as silent:
        for name, flood in {ALONE: None, **floods()}.items():
            if not only or name in only:
                found = _window(flood, home=home, seconds=seconds, url=silent.url)
                conditions[name] = found
                say(
                    f"beside {name:12}  p50 {found['p50_ms']:8.1f} ms  p95 {found['p95_ms']:8.1f} ms  longest"
                    f" {found['max_ms']:8.1f} ms  not ended {found['not_ended']:g} of {found['runs']:g}"
                )
    return {
        "suite": "fairness",
        "seconds": seconds,
        "per_second": PER_SECOND,
        "longest_seconds": LONGEST_SECONDS,
        "machine": machine.described(),
        "load_average_before": before,
        "conditions": conditions,
    }


_TITLES = {
    ALONE: "nothing else",
    HONEST: "1,000 live runs of the same kind, which keep the worker as busy (honest)",
    "sleeps": "20,000 runs that sleep for a second",
    "fan_out": "a fan-out of 10,000",
    "for_each": "a `for_each` of 100,000",
    "bombs": "200 live runs of one expression each that takes two seconds of processor time, and is refused then",
    "effect_bombs": "200 live runs of a `sleep` whose length is such an expression",
    "output_bombs": "200 live runs whose `output` is such an expression",
    "large": "10 live runs with inputs of 9 MB",
    "slow_servers": "2,000 requests to a server that does not answer",
}


def table(report: Mapping[str, Any]) -> str:
    """Return a report as a section of docs/reliability.md."""
    lines = [
        f"| {_TITLES[name]} | {found['p50_ms']:.0f} | {found['p95_ms']:.0f} | {found['max_ms']:.0f}"
        f" | {1 - found['not_ended'] / found['runs']:.0%} |"
        for name, found in report["conditions"].items()
    ]
    facts = report["machine"]
    return (
        "## Workspaces beside each other\n\n"
        f"A workspace starts runs of three pure steps, {report['per_second']} a second for {report['seconds']:g} s, on"
        " a worker with the default settings; another workspace keeps its flood going. Times are from before the start"
        f" to the recorded end, in milliseconds; a run that has not ended after {report['longest_seconds']:g} s"
        " counts as not ended.\n\n"
        "| beside | p50 | p95 | longest | ended |\n|---|---|---|---|---|\n"
        + "\n".join(lines)
        + "\n\nThe aim: p95 at most 300 ms and at most twice that beside the honest workspace, no run longer than 3 s."
        f" Machine: {facts['cores']} cores, {facts['memory_gib']} GiB. Reproduce it with"
        " `python -m benchmarks.fairness`.\n"
    )


def _window(flood: Flood | None, *, home: Path, seconds: float, url: str) -> dict[str, float]:
    """Measure beside one flood, with a worker of its own; afterwards no run is left."""
    from benchmarks import neighbours, systems, work
    from benchmarks.hung import end_all

    start = _starter("good", work.DEFINITION, work.given(0))

    def good() -> UUID:
        return start(1)[0]

    with systems.stepwise_worker(home / "fairness.log"):
        for _ in range(WARM):
            neighbours._finished([good()], until=time.monotonic() + LONGEST_SECONDS)
        over, full = threading.Event(), threading.Event()
        thread = threading.Thread(target=_keep_up, args=(flood, url, over, full), name="flood")
        if flood is not None:
            thread.start()
            if not full.wait(LONGEST_BEGIN_SECONDS):
                raise TimeoutError(f"{flood.live:,} runs of a flood were not started in {LONGEST_BEGIN_SECONDS:g} s")
            time.sleep(min(5.0, seconds / 2))
        begun = neighbours._started(good, seconds=seconds)
        times: Times = neighbours._times(begun)
        over.set()
        if flood is not None:
            thread.join()
    # Without a worker: what is left of a flood is not performed while it is ended.
    end_all()
    return figures(times, {})


def _keep_up(flood: Flood, url: str, over: threading.Event, full: threading.Event) -> None:
    """Keep so many runs of a flood live, until `over` is set. `full` is set once so many were started."""
    from django.db import connection

    from runs.models import Run

    start = _starter("flood", flood.definition, flood.given(url))
    live = Run.objects.filter(workspace__name="flood", finished_at__isnull=True)
    while not over.is_set():
        missing = flood.live - live.count()
        while missing > 0 and not over.is_set():
            missing -= len(start(min(missing, MOST_AT_ONCE)))
        full.set()
        over.wait(LOOK_SECONDS)
    connection.close()


def _starter(workspace: str, text: str, given: Any) -> Callable[[int], list[UUID]]:
    """Publish a workflow in a workspace, and return a function that starts so many runs of it."""
    from django.contrib.auth import get_user_model

    from runs.control import starts
    from runs.domain.requests import Request
    from workflows.formats import parse
    from workflows.models import Workspace
    from workflows.publishing.publish import publish

    space = Workspace.objects.get_or_create(name=workspace)[0]
    owner = get_user_model().objects.get_or_create(username="bench")[0]
    found = publish(parse.load(text).document, workspace=space, owner=owner)

    def start(count: int) -> list[UUID]:
        requests = [Request(input=given)] * count
        begun = starts.start(requests, version=found.version, workflow=found.workflow, source="bench")
        return [one.run_id for one in begun]

    return start


if __name__ == "__main__":
    main()
