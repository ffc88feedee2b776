"""A database that refuses the output {"n": 2}, with any error: as for a value, a schema or a server that refuses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection


@contextmanager
def refusing(code: str) -> Iterator[None]:
    """Refuse rows with this output by this SQLSTATE until the block ends, or until `accept` is called."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION refuse_two() RETURNS trigger LANGUAGE plpgsql AS $$"
            f" BEGIN RAISE EXCEPTION 'refused by the test' USING ERRCODE = '{code}'; END $$"
        )
        cursor.execute(
            "CREATE TRIGGER refuse_two BEFORE INSERT OR UPDATE ON runs_steprun FOR EACH ROW"
            " WHEN (NEW.output->>'n' = '2') EXECUTE FUNCTION refuse_two()"
        )
    try:
        yield
    finally:
        accept()


def accept() -> None:
    """Refuse nothing any more."""
    with connection.cursor() as cursor:
        cursor.execute("DROP FUNCTION IF EXISTS refuse_two CASCADE")
