"""Run the hot path's statements on Django's connection, without the ORM in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from django.db import DEFAULT_DB_ALIAS, OperationalError, connections

Row = tuple[Any, ...]


@dataclass(frozen=True)
class Statement:
    """One SQL statement under a name that logs, metrics and tests know it by."""

    name: str
    sql: str


_observers: list[Callable[[str], None]] = []


def run(statement: Statement, **params: object) -> list[Row]:
    """The statement's rows. Prepared on the server; raises django.db's exceptions like the ORM does.

    A list becomes an array of the type that the statement casts it to, as in `%(ids)s::uuid[]`.
    """
    # Once: Django's `connection` looks up this thread's at each touch.
    database = connections[DEFAULT_DB_ALIAS]
    database.ensure_connection()
    for observer in _observers:
        observer(statement.name)
    # Django's own cursors bind on the client, which neither prepares nor passes arrays as they are.
    with database.wrap_database_errors, psycopg.Cursor(database.connection) as cursor:
        given = {name: _array(value) if isinstance(value, list) else value for name, value in params.items()}
        cursor.execute(statement.sql, given, prepare=True)
        # Not `description`, which makes an object for each column.
        return cursor.fetchall() if cursor.pgresult is not None and cursor.pgresult.nfields else []


def renew() -> None:
    """Give up this thread's connection where it broke while it lay idle: the next statement then opens another.

    No round trip: what the server said last, and that it went, lies in the socket.
    """
    database = connections[DEFAULT_DB_ALIAS]
    if database.connection is None or database.in_atomic_block:
        return
    try:
        # The first reads its last words, the second that there is nothing behind them.
        database.connection.pgconn.consume_input()
        database.connection.pgconn.consume_input()
    except psycopg.OperationalError:
        database.close()


def copy(statement: Statement, rows: bytes) -> None:
    """Write many rows at once, given in the form that the statement names. Raises django.db's exceptions."""
    database = connections[DEFAULT_DB_ALIAS]
    database.ensure_connection()
    for observer in _observers:
        observer(statement.name)
    with (
        database.wrap_database_errors,
        psycopg.Cursor(database.connection) as cursor,
        cursor.copy(statement.sql) as writing,
    ):
        writing.write(rows)


def _array(values: list[object]) -> str:
    """The text of an array. Several times as fast as psycopg, which looks at the type of every element."""
    return "{" + ",".join([_WRITTEN[type(value)](value) for value in values]) + "}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


_WRITTEN: dict[type, Callable[[Any], str]] = {
    str: _quoted,
    UUID: lambda value: f"{value.int:032x}",
    int: str,
    float: repr,
    bool: lambda value: "t" if value else "f",
    datetime: lambda value: f'"{value.isoformat()}"',
    type(None): lambda _: "NULL",
}


@contextmanager
def observed() -> Iterator[list[str]]:
    """The names of the statements that run inside the block, in order, in this process."""
    seen: list[str] = []
    _observers.append(seen.append)
    try:
        yield seen
    finally:
        _observers.remove(seen.append)


def columns(rows: Sequence[Sequence[object]], width: int) -> list[list[object]]:
    """Rows turned into `width` columns, as unnest takes them."""
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]


# Deadlock and lock timeout: somebody else is at the run; nothing is wrong with what is to be recorded.
_LOCK_TROUBLE = ("40P01", "55P03")


def by_lock(error: Exception) -> bool:
    """Whether somebody else was at the run, so that the same outcome may be recorded again."""
    return _code(error) in _LOCK_TROUBLE


def by_server(error: Exception) -> bool:
    """Whether the server could not work, which says nothing about the values."""
    # Class 54 is a value beyond PostgreSQL's limits.
    return isinstance(error, OperationalError) and not _code(error).startswith("54")


def _code(error: Exception) -> str:
    return getattr(error.__cause__, "sqlstate", None) or ""
