"""`python -m benchmarks.volume --runs 1000000`: check that costs do not grow with the number of finished runs.

First, every statement of the sweep, the hot path, the API's lists and the admin's pages is explained (ANALYZE, BUFFERS)
in an almost empty database, and with that many finished W3 runs. Then retention deletes a tenth of them beside a live
worker, and the latency of single runs is measured with and without that, in turn. Last, rates and latency of W3 are
measured in the full database and in an empty one of the same server, in turn. Ten million runs take some 20 GB and half
an hour.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.plans import Plan
    from workflows.publishing.publish import Published

RESULT = Path(__file__).parent / "results" / "volume.json"
EMPTY = 5000
# If a piece of work reads this many pages more than in the empty database, its cost grows. Some growth is legitimate: a
# full page of a list reads two pages per row.
PAGES_FLAT = 3000
# How many windows of time with and without pruning are measured, and how many live runs each lasts.
WINDOWS, WINDOW_RUNS = 6, 100


def main() -> None:
    """Print a line for each piece of work, and write JSON. Exit status 1 if a plan's cost grows with stored runs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.volume", description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--prune", type=int, help="how many to prune (default: a tenth)")
    parser.add_argument("--home", type=Path, help="where to keep the servers' data, filled, for another time")
    parser.add_argument("--rounds", type=int, default=5, help="how often rates are taken in each database")
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args()

    from benchmarks import servers

    home = servers.up(options.home)
    from benchmarks import beside, fill, machine

    before = machine.load_average()
    first = home / f"empty-{options.runs}.json"
    if not first.exists():
        empty = _costs(_explained(fill.fill(EMPTY, tell=_say, since_days=fill.DAYS + 30, days=20)))
        began = time.monotonic()
        fill.fill(options.runs, tell=_say, start=EMPTY)
        filled = round(time.monotonic() - began, 1)
        first.write_text(json.dumps({"fill_seconds": filled, "empty": empty}))
    found, kept = fill.flows()[0], json.loads(first.read_text())
    report = {
        "runs": options.runs,
        "machine": machine.described(),
        "load_average_before": before,
        "sizes_megabytes": _sizes(),
        "fill_seconds": kept["fill_seconds"],
        "work": _compared(kept["empty"], _explained(found)),
        "beside": beside.compared(rounds=options.rounds),
        "retention": _retention(home, found, count=options.prune or options.runs // 10),
    }
    options.output.write_text(json.dumps(report, indent=2) + "\n")
    _say(f"written to {options.output}")
    sys.exit(1 if any(one["faults"] for one in report["work"].values()) else 0)


def _explained(found: Published) -> dict[str, list[Plan]]:
    """Return the plans of every piece of work. Each is done twice, as the first time warms the caches."""
    from django.conf import settings

    from benchmarks import doors, plans

    settings.ALLOWED_HOSTS = ["*"]
    told: dict[str, list[Plan]] = {}
    for _ in range(2):
        with plans.watched() as watch:
            for name, piece in doors.all_of(found.workflow, found.version):
                watch.work = name
                piece()
        told = {}
        for plan in watch.plans:
            told.setdefault(plan.work, []).append(plan)
    return told


def _costs(explained: dict[str, list[Plan]]) -> dict[str, dict[str, float]]:
    return {
        name: {"pages": sum(plan.pages for plan in plans), "milliseconds": round(sum(plan.ms for plan in plans), 2)}
        for name, plans in explained.items()
    }


def _compared(empty: dict[str, dict[str, float]], full: dict[str, list[Plan]]) -> dict[str, Any]:
    told = {}
    costs_full = _costs(full)
    for name, plans in full.items():
        costs, before = costs_full[name], empty.get(name, {"pages": 0, "milliseconds": 0})
        faults = [{"fault": fault, "sql": plan.sql[:1000]} for plan in plans for fault in plan.faults]
        pages, pages_before = int(costs["pages"]), int(before["pages"])
        if pages > pages_before + PAGES_FLAT and pages > 2 * pages_before and not faults:
            most = max(plans, key=lambda plan: plan.pages)
            faults = [{"fault": f"reads {pages} pages, {pages_before} with next to nothing", "sql": most.sql[:1000]}]
        told[name] = {
            "statements": len(plans),
            "pages": pages,
            "pages_empty": pages_before,
            "milliseconds": costs["milliseconds"],
            "milliseconds_empty": before["milliseconds"],
            "faults": faults,
        }
        figures = f"{pages_before:7} -> {pages:7} pages  {told[name]['milliseconds']:9.2f} ms"
        _say(f"{name[:70]:70} {figures}  {'; '.join(one['fault'] for one in faults)}")
    return told


def _sizes() -> dict[str, float]:
    """Return the sizes of the tables and indexes of runs, the largest first."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname, pg_relation_size(oid) / 1e6 FROM pg_class WHERE relkind IN ('r', 'i')"
            " AND relnamespace = 'public'::regnamespace AND pg_relation_size(oid) > 1e6 ORDER BY 2 DESC"
        )
        return {name: round(float(size), 1) for name, size in cursor.fetchall()}


def _retention(home: Path, found: Published, *, count: int) -> dict[str, Any]:
    """Prune the oldest runs beside a worker; measure the latency of single runs in windows with and without pruning."""
    from benchmarks import systems

    policy = _policy(found, count)
    latency = systems.stepwise_latency(found.version, found.workflow)
    pruner = _Pruner(policy)
    times: dict[str, list[float]] = {"without": [], "beside": []}
    with systems.stepwise_worker(home / "volume.log"):
        latency(50)
        for _ in range(WINDOWS):
            times["without"] += latency(WINDOW_RUNS)
            with pruner:
                times["beside"] += latency(WINDOW_RUNS)
    with pruner:  # prune the rest, at the usual speed, with its pauses
        pruner.over.wait()
    told = {
        "runs_pruned": pruner.runs,
        "seconds": round(pruner.seconds, 1),
        "runs_per_second": round(pruner.runs / pruner.seconds),
        "longest_transaction_seconds": round(max(pruner.bites), 3),
        "median_transaction_seconds": round(statistics.median(pruner.bites), 4),
        "latency_seconds": {name: _spread(values) for name, values in times.items()},
    }
    _say(json.dumps(told, indent=2))
    return told


def _policy(found: Published, count: int) -> Any:
    """Return a retention policy under which `count` of the workflow's oldest runs are deleted."""
    from django.db.models.functions import Now

    from runs.maintenance.retention import Policy
    from runs.models import Run

    oldest = Run.objects.filter(workflow=found.workflow).order_by("id")
    edge = oldest.annotate(now=Now())[count : count + 1].get()
    if edge.finished_at is None:
        raise SystemExit(f"run {edge.pk} has not ended")
    return Policy(found.workflow.pk, found.workflow.name, (edge.now - edge.finished_at).total_seconds())


class _Pruner:
    """Prunes in a thread during a `with` block, and continues in the next block."""

    def __init__(self, policy: Any) -> None:
        from runs.maintenance import retention

        self.bites: list[float] = []
        self.runs = 0
        self.seconds = 0.0
        self.over = threading.Event()
        self._go = threading.Event()
        self._rest = retention.rest
        self._prune = retention.prune(policy)

    def __enter__(self) -> None:
        self._go.set()
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._go.clear()
        self._thread.join()

    def _work(self) -> None:
        from django.db import connection

        began = time.monotonic()
        while self._go.is_set():
            batch = next(self._prune, None)
            if batch is None:
                self.over.set()
                break
            self.runs += batch.runs
            self.bites.append(batch.seconds)
            time.sleep(self._rest(batch))
        self.seconds += time.monotonic() - began
        connection.close()


def _spread(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {"p50": statistics.median(ordered), "p95": ordered[int(len(ordered) * 0.95)], "max": ordered[-1]}


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
