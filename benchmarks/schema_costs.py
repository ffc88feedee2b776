"""`python -m benchmarks.schema_costs`: what each index, foreign key and check of the hot tables costs per W3 run.

One process starts runs in bulk and performs them, with the index (or key, or check) and without it, in turn, on empty
tables. Measured are the CPU time of the database backend and the bytes of WAL. It uses a scratch database.
"""

from __future__ import annotations

import argparse
import logging
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.telling import RESULTS, keep, say

if TYPE_CHECKING:
    from collections.abc import Callable

RESULT = RESULTS / "schema_costs.json"
TABLES = ("runs_run", "runs_ticket", "runs_steprun")

_CONSTRAINTS = """
    SELECT conrelid::regclass::text, conname, CASE contype WHEN 'c' THEN 'check' ELSE 'foreign key' END,
           pg_get_constraintdef(oid)
    FROM pg_constraint WHERE conrelid::regclass::text = ANY(%s) AND contype IN ('c', 'f') ORDER BY 1, 3, 2
"""
_INDEXES = """
    SELECT i.indrelid::regclass::text, i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid),
           (SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conindid = i.indexrelid LIMIT 1)
    FROM pg_index i WHERE i.indrelid::regclass::text = ANY(%s) ORDER BY 1, 2
"""


@dataclass(frozen=True)
class Thing:
    """An index, foreign key or check, and the statements that drop and create it."""

    table: str
    name: str
    kind: str
    drop: str
    make: str


@dataclass(frozen=True)
class Size:
    """How much is measured: rounds with and without each thing, runs per measurement and for warming up, and which
    things, by name or kind (none given: all)."""

    rounds: int = 5
    runs: int = 1500
    warm: int = 200
    only: tuple[str, ...] = ()


def main() -> None:
    """Measure, print the figures, and write JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.schema_costs", description=__doc__)
    parser.add_argument("--rounds", type=int, default=Size.rounds, help="how often each is measured with and without")
    parser.add_argument("--runs", type=int, default=Size.runs, help="runs in one measurement")
    parser.add_argument("--only", action="append", default=[], help="a name or a kind to measure (default: all)")
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args()

    from benchmarks import servers

    servers.up()
    size = Size(rounds=options.rounds, runs=options.runs, only=tuple(options.only))
    keep(measured(size=size), options.output)


def measured(*, size: Size) -> dict[str, Any]:
    """Return the whole report: the cost with the whole schema, and the savings without each thing and each group."""
    from benchmarks import machine, systems
    from benchmarks.parts import Walk

    before = machine.load_average()
    walk = Walk(*systems.prepare())
    walk.bulk(size.warm)
    found: dict[str, dict[str, Any]] = {}
    for name, those in _groups().items():
        if size.only and name not in size.only and those[0].kind not in size.only:
            continue
        found[name] = {
            "kind": those[0].kind,
            "table": those[0].table if len(those) == 1 else "",
            "count": len(those),
            **_compared(those, walk.bulk, size=size),
        }
        say(_line(name, found[name]))
    return {
        "suite": "schema_costs",
        "rounds": size.rounds,
        "runs": size.runs,
        "machine": machine.described(),
        "load_average_before": before,
        "whole": _summed_up([_cost(walk.bulk, size=size) for _ in range(size.rounds)]),
        "things": found,
    }


def _groups() -> dict[str, list[Thing]]:
    """Return the groups to measure: each thing by itself, and all checks, foreign keys, and non-unique indexes."""
    every = _things()
    together = {
        "every check": [one for one in every if one.kind == "check"],
        "every foreign key": [one for one in every if one.kind == "foreign key"],
        "every index that is not unique": [one for one in every if one.kind == "index"],
    }
    return {one.name: [one] for one in every} | {name: those for name, those in together.items() if those}


def _compared(those: list[Thing], work: Callable[[int], None], *, size: Size) -> dict[str, Any]:
    """Return what a run saves without these things, or why it cannot be measured (`needed`)."""
    with _without(those):
        needed = _needed(work)
    if needed is not None:
        return {"needed": needed}
    pairs = []
    for _ in range(size.rounds):
        with_them = _cost(work, size=size)
        with _without(those):
            pairs.append((with_them, _cost(work, size=size)))
    saved = _summed_up([{name: a[name] - b[name] for name in a} for a, b in pairs])
    for name, found in saved.items():
        # Other load on the machine only adds time, so the smallest value of each side is the most accurate.
        found["least"] = round(min(a[name] for a, _ in pairs) - min(b[name] for _, b in pairs), 2)
    return {"saved": saved, "with": _summed_up([a for a, _ in pairs])}


def _needed(work: Callable[[int], None]) -> str | None:
    """Return the error if a run cannot be performed without it, else None."""
    from celery import current_app
    from django.db import Error

    from runs.models import Run

    logging.disable(logging.CRITICAL)
    try:
        work(1)
    except Error as error:
        return " ".join(str(error).split())[:200]
    finally:
        logging.disable(logging.NOTSET)
        current_app.control.purge()
    left = Run.objects.exclude(state="succeeded").exists()
    return "a statement names it" if left else None


def _cost(work: Callable[[int], None], *, size: Size) -> dict[str, float]:
    """Measure on empty tables, after warming up: plans are made anew after a change of the schema."""
    _execute(f"TRUNCATE {', '.join(TABLES)} CASCADE")
    work(size.warm)
    _execute(f"TRUNCATE {', '.join(TABLES)} CASCADE")
    work(size.warm // 4)
    cpu, wal = _spent()
    work(size.runs)
    cpu_after, wal_after = _spent()
    return {"postgresql_us": 1e6 * (cpu_after - cpu) / size.runs, "wal_bytes": (wal_after - wal) / size.runs}


@contextmanager
def _without(those: list[Thing]) -> Iterator[None]:
    for one in those:
        _execute(one.drop)
    try:
        yield
    finally:
        _execute(f"TRUNCATE {', '.join(TABLES)} CASCADE")
        for one in those:
            _execute(one.make)


def _things() -> list[Thing]:
    """Return all indexes, foreign keys and checks of the three hot tables."""
    found = [
        Thing(table, name, kind, f'ALTER TABLE {table} DROP CONSTRAINT "{name}"', _constraint(table, name, definition))
        for table, name, kind, definition in _rows(_CONSTRAINTS)
    ]
    for table, name, definition, constraint in _rows(_INDEXES):
        if constraint is None:
            kind = "unique index" if definition.startswith("CREATE UNIQUE") else "index"
            found.append(Thing(table, name, kind, f"DROP INDEX {name}", definition))
        else:
            drop = f"ALTER TABLE {table} DROP CONSTRAINT {name} CASCADE"
            found.append(Thing(table, name, "unique index", drop, _constraint(table, name, constraint)))
    return found


def _constraint(table: str, name: str, definition: str) -> str:
    return f'ALTER TABLE {table} ADD CONSTRAINT "{name}" {definition}'


def _rows(sql: str) -> list[tuple[Any, ...]]:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(sql, [list(TABLES)])
        return list(cursor.fetchall())


def _execute(sql: str) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(sql)


def _spent() -> tuple[float, float]:
    """Return the CPU seconds of this connection's backend, and the bytes of WAL that the server has written."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid(), pg_current_wal_insert_lsn() - '0/0'")
        pid, wal = cursor.fetchone()
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9, float(wal)


def _summed_up(values: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    return {
        name: {
            "median": round(statistics.median(one[name] for one in values), 2),
            "min": round(min(one[name] for one in values), 2),
            "max": round(max(one[name] for one in values), 2),
        }
        for name in values[0]
    }


def _line(name: str, report: dict[str, Any]) -> str:
    if "needed" in report:
        return f"{name:36} cannot be left out: {report['needed']}"
    saved = report["saved"]
    return f"{name:36} {saved['postgresql_us']['least']:8.2f} us  {saved['wal_bytes']['median']:8.1f} bytes of WAL"


if __name__ == "__main__":
    main()
