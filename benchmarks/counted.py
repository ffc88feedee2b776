"""Count the statements that PostgreSQL executes, by pg_stat_statements, which is on only while this module counts."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

from django.db import connection
from psycopg import sql

from runs.queries.database import Statement

_SETTINGS = {
    "pg_stat_statements.track": "top",
    "pg_stat_statements.track_utility": "on",  # for COPY
    "pg_stat_statements.track_planning": "on",
    "compute_query_id": "on",
}
_ROWS = """
    SELECT query, calls, total_plan_time * 1000, total_exec_time * 1000, rows, wal_bytes FROM pg_stat_statements
    WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND calls > 0
"""
# The statements by which the benchmark itself polls whether everything is done.
_OURS = re.compile(r'pg_stat_statements|^SELECT \$1 AS "a" FROM|^SELECT EXISTS \(SELECT \$1 FROM runs_run')
_UNCOUNTED = re.compile(r"(BEGIN|COMMIT|ROLLBACK|SAVEPOINT|RELEASE|SET|RESET|SHOW|ALTER|CREATE)\b", re.IGNORECASE)
# Values, which differ between a statement in our code and its normalised text in pg_stat_statements.
_VALUE = re.compile(r"%\(\w+\)s|\$\d+|'[^']*'|-?\b\d+(?:\.\d+)?\b|\b(?:true|false|NULL)\b")
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_LIST = re.compile(r"\(\?(?:, ?\?)* ?\)")
# The end of the statement by which PostgreSQL checks a foreign key.
_KEY_CHECK = re.compile(r"FOR KEY SHARE OF x$")


@dataclass(frozen=True)
class Asked:
    """One statement: its normalised text, calls, microseconds of planning and execution, rows, and bytes of WAL."""

    query: str
    calls: int
    plan_us: float
    exec_us: float
    rows: int
    wal_bytes: int

    @property
    def foreign_key(self) -> bool:
        """Whether the statement is PostgreSQL's own check of a foreign key, not one that a client sent."""
        return _KEY_CHECK.search(self.query.strip()) is not None


@contextmanager
def counting() -> Iterator[None]:
    """Count the statements of connections that are opened in the block. This thread's Django connection is reopened."""
    _switch(on=True)
    try:
        yield
    finally:
        _switch(on=False)


def reset() -> None:
    """Reset all counts."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_statements_reset()")


def asked() -> list[Asked]:
    """Return the statements since the reset, the most expensive first; BEGIN, COMMIT and the like are left out."""
    with connection.cursor() as cursor:
        cursor.execute(_ROWS)
        found = [Asked(query, calls, plan, done, rows, int(wal)) for query, calls, plan, done, rows, wal in cursor]
    own = [one for one in found if not _OURS.search(one.query.strip()) and not _UNCOUNTED.match(one.query.strip())]
    return sorted(own, key=lambda one: one.plan_us + one.exec_us, reverse=True)


def named(query: str) -> str | None:
    """Return the name of the engine's statement with this text, or None."""
    return _names().get(_bare(query))


@cache
def _names() -> dict[str, str]:
    modules = [module for name, module in list(sys.modules.items()) if name.startswith("runs.")]
    known = [one for module in modules for one in vars(module).values() if isinstance(one, Statement)]
    return {_bare(one.sql.replace("%%", "%")): one.name for one in known}


def _bare(query: str) -> str:
    return _LIST.sub("(?)", " ".join(_VALUE.sub("?", _COMMENT.sub(" ", query)).split()).replace("? )", "?)"))


def _switch(*, on: bool) -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        cursor.execute("SELECT current_database()")
        database = sql.Identifier(cursor.fetchone()[0])
        for name, value in _SETTINGS.items():
            to = sql.SQL("SET {} TO {}").format(sql.SQL(name), sql.Literal(value)) if on else sql.SQL("RESET " + name)
            cursor.execute(sql.SQL("ALTER DATABASE {} {}").format(database, to).as_string(cursor.connection))
    connection.close()
