"""`python -m benchmarks.indexes`: the CPU time and WAL that each index costs a bulk of W3 runs.

For each index, runs are measured with it and without it, in turn: CPU seconds of the only database backend, which
serves the process that starts and performs the runs, and bytes of write-ahead log. Then 50,000 runs are performed under
autovacuum: dead rows and HOT updates are read from PostgreSQL's counters, and the pages of 8 KB that a single run reads
are compared before and after.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workflows.publishing.publish import Published

RESULT = Path(__file__).parent / "results" / "indexes.json"
TABLES = ("runs_run", "runs_steprun", "runs_ticket", "runs_process")
BULK = 200


def main() -> None:
    """Print a line for each index, and write JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.indexes", description=__doc__)
    parser.add_argument("--runs", type=int, default=4000, help="in each measurement")
    parser.add_argument("--rounds", type=int, default=5, help="0: only the runs under autovacuum")
    parser.add_argument("--churn", type=int, default=50_000, help="runs under autovacuum")
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args()

    from benchmarks import servers

    servers.start()
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    from benchmarks import fill, machine

    found = fill.fill(20_000, tell=_say)
    report = {
        "machine": machine.described(),
        "runs": options.runs,
        "rounds": options.rounds,
        "indexes": _costs(found, runs=options.runs, rounds=options.rounds) if options.rounds else {},
        "churn": _churn(found, runs=options.churn),
    }
    options.output.write_text(json.dumps(report, indent=2) + "\n")
    _say(f"written to {options.output}")


def _costs(found: Published, *, runs: int, rounds: int) -> dict[str, Any]:
    """Return the microseconds and bytes of WAL that a run saves without each index: medians over adjacent pairs."""
    # PostgreSQL logs each page in full once after a checkpoint. That would hide the differences, so it is switched off.
    _execute("ALTER SYSTEM SET full_page_writes = off")
    _execute("SELECT pg_reload_conf()")
    _perform(found, runs)
    saved: dict[str, list[tuple[float, float]]] = {}
    whole: list[tuple[float, float]] = []
    for _ in range(rounds):
        for name, (drop, make) in _indexes().items():
            with_it = _measured(found, runs)
            _execute(drop)
            without = _measured(found, runs)
            _execute(make)
            whole.append(with_it)
            saved.setdefault(name, []).append((with_it[0] - without[0], with_it[1] - without[1]))
    _execute("ALTER SYSTEM RESET full_page_writes")
    _execute("SELECT pg_reload_conf()")
    told: dict[str, Any] = {"a run with all of them": _median(whole)}
    told |= dict(
        sorted(((name, _median(pairs)) for name, pairs in saved.items()), key=lambda one: -one[1]["wal_bytes"])
    )
    for name, figures in told.items():
        _say(f"{name:30} {figures['microseconds']:8.1f} us  {figures['wal_bytes']:8.0f} bytes of log a run")
    return told


def _indexes() -> dict[str, tuple[str, str]]:
    """Return, by name, the statements that drop and create each index not needed for correctness.

    Primary keys that are plain numbers count as such, too.
    """
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT i.relname, pg_get_indexdef(i.oid), c.conname, c.contype, t.relname FROM pg_index x"
            " JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid"
            " LEFT JOIN pg_constraint c ON c.conindid = i.oid AND c.contype IN ('p', 'u')"
            " WHERE t.relname = ANY(%s) ORDER BY t.relname, i.relname",
            [list(TABLES)],
        )
        found = {}
        for name, made, constraint, kind, table in cursor.fetchall():
            if constraint is None and "UNIQUE" not in made:
                found[name] = (f'DROP INDEX "{name}"', made)
            elif kind == "p" and table in ("runs_steprun", "runs_ticket"):
                drop = f'ALTER TABLE {table} DROP CONSTRAINT "{constraint}"'
                found[name] = (drop, f'ALTER TABLE {table} ADD CONSTRAINT "{constraint}" PRIMARY KEY (id)')
        return found


def _perform(found: Published, runs: int) -> None:
    """Start runs, 200 per call, and perform them to their end on this connection."""
    from benchmarks import work
    from runs.control import starts
    from runs.domain.requests import Request
    from runs.worker import polling

    for first in range(0, runs, BULK):
        requests = [Request(input=work.given(n)) for n in range(first, min(first + BULK, runs))]
        starts.start(requests, version=found.version, workflow=found.workflow, source="bench")
        while polling.poll():
            pass


def _measured(found: Published, runs: int) -> tuple[float, float]:
    """Return the backend's CPU microseconds and the bytes of WAL, per run."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid(), pg_current_wal_insert_lsn()")
        pid, begin = cursor.fetchone()
        before = _cpu(pid)
        _perform(found, runs)
        spent = _cpu(pid) - before
        cursor.execute("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), %s)", [begin])
        return 1e6 * spent / runs, float(cursor.fetchone()[0]) / runs


def _churn(found: Published, *, runs: int) -> dict[str, Any]:
    """Return the dead rows at the end and at their peak, and how many updates were HOT (no index was changed)."""
    from django.db import connection

    query = (
        "SELECT relname, n_tup_ins, n_tup_upd, n_tup_hot_upd, n_tup_del, n_dead_tup, autovacuum_count,"
        " pg_relation_size(relid), pg_indexes_size(relid) FROM pg_stat_user_tables WHERE relname = ANY(%s)"
    )

    def look() -> dict[str, tuple[int, ...]]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_stat_force_next_flush()")
            cursor.execute(query, [list(TABLES)])
            return {row[0]: row[1:] for row in cursor.fetchall()}

    before, most, pages = look(), dict.fromkeys(TABLES, 0), [_pages_of_one(found)]
    began = time.monotonic()
    for number in range(0, runs, 1000):
        _perform(found, 1000)
        most = {name: max(most[name], row[4]) for name, row in look().items()}
        if number % 5000 == 4000:
            pages.append(_pages_of_one(found))
    took, after = time.monotonic() - began, look()
    told: dict[str, Any] = {"runs": runs, "seconds": round(took, 1), "pages_of_one_run_every_5000": pages}
    for name in TABLES:
        inserted, updated, in_place, deleted = (a - b for a, b in zip(after[name][:4], before[name][:4], strict=True))
        told[name] = {
            "inserted": inserted,
            "updated": updated,
            "updated_in_place": in_place,
            "deleted": deleted,
            "dead_at_the_end": after[name][4],
            "dead_at_most": most[name],
            "autovacuums": after[name][5] - before[name][5],
            "table_megabytes": [round(one[name][6] / 1e6, 1) for one in (before, after)],
            "indexes_megabytes": [round(one[name][7] / 1e6, 1) for one in (before, after)],
        }
    _say(json.dumps(told, indent=2))
    return told


def _pages_of_one(found: Published) -> int:
    from benchmarks import plans

    with plans.watched() as watch:
        _perform(found, 1)
    return sum(plan.pages for plan in watch.plans)


def _cpu(pid: int) -> float:
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")


def _execute(statement: str) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = 0; SET statement_timeout = 0")
        cursor.execute(statement)


def _median(pairs: list[tuple[float, float]]) -> dict[str, float]:
    return {
        "microseconds": round(statistics.median(one[0] for one in pairs), 2),
        "wal_bytes": round(statistics.median(one[1] for one in pairs), 1),
    }


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
