"""Execute named SQL statements on Django's connection, without the ORM."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

import orjson
import psycopg
from django.db import DEFAULT_DB_ALIAS, DataError, InterfaceError, OperationalError, connections
from django.utils.functional import cached_property
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ConnStatus, DiagnosticField, ExecStatus
from psycopg.pq.abc import PGresult

Row = tuple[Any, ...]
Connection = psycopg.Connection[Any]

# For names of prepared statements that no other statement of the connection had before.
_numbers = itertools.count()


@dataclass(frozen=True)
class Statement:
    """One SQL statement, with the name under which logs, metrics and tests know it."""

    name: str
    sql: str

    @cached_property
    def compiled(self) -> tuple[str, tuple[str, ...]]:
        """The statement with $1, $2 ... in place of its named parameters, and their names in that order.

        psycopg would work this out at each execution, as it caches that for statements of up to 4 KB only.
        """
        places: dict[str, int] = {}

        def placed(found: re.Match[str]) -> str:
            name = found.group(1)
            return "%" if name is None else f"${places.setdefault(name, len(places) + 1)}"

        return re.sub(r"%\((\w+)\)s|%%", placed, self.sql), tuple(places)


_observers: list[Callable[[str], None]] = []


def run(statement: Statement, **params: object) -> list[Row]:
    """Execute a statement, prepared on the server, and return its rows. Raises django.db's exceptions, as the ORM does.

    A list becomes an array of the type to which the statement casts it, as in `%(ids)s::uuid[]`.
    """
    # Looked up once: each access to Django's `connection` looks up the one of this thread.
    database = connections[DEFAULT_DB_ALIAS]
    database.ensure_connection()
    for observer in _observers:
        observer(statement.name)
    sql, names = statement.compiled
    given = [_array(value) if isinstance(value := params[name], list) else value for name in names]
    with database.wrap_database_errors:
        alone = database.connection.autocommit and not database.in_atomic_block
        if alone and database.connection.prepare_threshold is not None:
            return _run_prepared(database.connection, sql, given)
        # Not Django's cursors: they bind parameters on the client, so they cannot prepare statements or pass arrays.
        with psycopg.RawCursor(database.connection) as cursor:
            cursor.execute(sql, given, prepare=True)
            # Not cursor.description, which makes an object for each column.
            return cursor.fetchall() if cursor.pgresult is not None and cursor.pgresult.nfields else []


# By connection, the names under which it has prepared statements: by their text and the types of their parameters.
_Prepared = dict[tuple[str, tuple[int, ...]], bytes]
_prepared: WeakKeyDictionary[Connection, _Prepared] = WeakKeyDictionary()
# So many a connection keeps. The engine has some 140, and a few of them with parameters of different types.
_MOST_PREPARED = 250
# A statement is not there under its name any more (psycopg gives up all at a rollback), or a migration changed the
# columns of its result. It was not executed then.
_UNKNOWN, _CHANGED = "26000", "0A000"


def _run_prepared(connection: Connection, sql: str, given: Sequence[object]) -> list[Row]:
    """Execute a statement that is a transaction of its own. Half of the processor time of a cursor of psycopg.

    A cursor looks at more than is needed here: whether to begin a transaction, whether to prepare, what came back.
    Python handles signals when the statement has ended, at the latest after the server's statement_timeout.
    """
    bound = Transformer(connection)
    values = bound.dump_sequence(given, [PyFormat.AUTO] * len(given))
    key = (sql, bound.types or ())
    with connection.lock:
        names = _prepared.setdefault(connection, {})
        known = key in names
        result = _execute(connection, names, key, values, bound.formats)
        if known and _failed(result) and _sqlstate(result) in (_UNKNOWN, _CHANGED):
            names.clear() if _sqlstate(result) == _UNKNOWN else _deallocate(connection, names.pop(key))
            result = _execute(connection, names, key, values, bound.formats)
    _check(connection, result)
    bound.set_pgresult(result)
    return bound.load_rows(0, result.ntuples, tuple) if result.nfields else []


def _execute(
    connection: Connection, names: _Prepared, key: tuple[str, tuple[int, ...]], values: Any, formats: Any
) -> PGresult:
    """Execute a prepared statement; prepare it if need be, in place of the oldest if there are too many."""
    if (name := names.get(key)) is None:
        if len(names) >= _MOST_PREPARED:
            _deallocate(connection, names.pop(next(iter(names))))
        sql, types = key
        # With the process, as a connection pooler may execute statements of several clients over one connection.
        name = f"stepwise_{os.getpid()}_{next(_numbers)}".encode()
        result = connection.pgconn.prepare(name, sql.encode(), types)
        if _failed(result):
            return result
        names[key] = name
    return connection.pgconn.exec_prepared(name, values, formats)


def _deallocate(connection: Connection, name: bytes) -> None:
    connection.pgconn.exec_(b"DEALLOCATE " + name)


def _failed(result: PGresult) -> bool:
    return result.status not in (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK)


def _sqlstate(result: PGresult) -> str:
    return (result.error_field(DiagnosticField.SQLSTATE) or b"").decode()


def _check(connection: Connection, result: PGresult) -> None:
    """Raise psycopg's exception if the result is an error."""
    if not _failed(result):
        return
    if connection.pgconn.status == ConnStatus.BAD and not _sqlstate(result):
        raise psycopg.OperationalError(connection.pgconn.get_error_message(connection.info.encoding))
    raise error_from_result(result, connection.info.encoding)


def renew() -> None:
    """Close this thread's connection if it broke while it was idle; the next statement then opens a new one.

    This needs no round trip: the server's last message, and the end of the connection, are already in the socket.
    """
    database = connections[DEFAULT_DB_ALIAS]
    if database.connection is None or database.in_atomic_block:
        return
    try:
        # The first call reads the server's last message, the second one the end of the connection.
        database.connection.pgconn.consume_input()
        database.connection.pgconn.consume_input()
    except psycopg.OperationalError:
        database.close()


def copy(statement: Statement, rows: bytes) -> None:
    """Insert many rows by COPY; `rows` are in the format that the statement names. Raises django.db's exceptions."""
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


def values_of_one(columns: Mapping[str, list[object]]) -> dict[str, str | None]:
    """Return the only row of columns, for a statement that takes values in place of arrays and casts each."""
    return {name: None if value is None else _text(value) for name, [value] in columns.items()}


def _text(value: object) -> str:
    # Text needs quotes in an array only.
    return value if isinstance(value, str) else _WRITTEN[type(value)](value).strip('"')


def _array(values: list[object]) -> str:
    """Return the text of a PostgreSQL array. Several times as fast as psycopg, which checks every element's type."""
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
    """Collect the names of the statements that this process executes inside the block, in order."""
    seen: list[str] = []
    _observers.append(seen.append)
    try:
        yield seen
    finally:
        _observers.remove(seen.append)


def columns(rows: Sequence[Sequence[object]], width: int) -> list[list[object]]:
    """Turn rows into `width` columns, as unnest takes them; without rows, into empty ones."""
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]


# Deadlock and lock timeout: another transaction held the run, and the values are not at fault.
_LOCK_TROUBLE = ("40P01", "55P03")
# A read-only transaction: the server is a standby, or somebody set default_transaction_read_only.
_READ_ONLY = "25006"
# Classes of errors about the schema or the session: feature not supported (a prepared statement's result has other
# columns now), transaction state, unknown prepared statement, syntax or access rule, internal error.
_PASSING = ("0A", "25", "26", "42", "XX")


def by_lock(error: Exception) -> bool:
    """Whether a lock of another transaction caused the error, so that the same outcome can be recorded again."""
    return _code(error) in _LOCK_TROUBLE


def by_value(error: Exception) -> bool:
    """Whether PostgreSQL, or the driver, refused a value: the same values are refused each time.

    Every other error is about the server, its schema or the connection, and passes: a read-only standby, a table that a
    rolling deploy has not changed yet, a prepared statement that a pooler does not know.
    """
    # Class 22 (data exception) is a DataError; class 54 (program limit exceeded) means that a value is too large.
    return isinstance(error, (DataError, orjson.JSONEncodeError)) or _code(error).startswith("54")


def passes(error: Exception) -> bool:
    """Whether the error is about the server, the connection, the schema or a prepared statement, and not about rows."""
    return isinstance(error, (OperationalError, InterfaceError)) or _code(error)[:2] in _PASSING


def by_server(error: Exception) -> bool:
    """Whether the server or the connection failed, or no transaction may write: then no other statement will do."""
    return isinstance(error, (OperationalError, InterfaceError)) or _code(error) == _READ_ONLY


def _code(error: Exception) -> str:
    return getattr(error.__cause__, "sqlstate", None) or ""
