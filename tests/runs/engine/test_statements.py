"""Statements that are executed by themselves: prepared once for each connection, and again when they are lost."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID, uuid4

import psycopg
import pytest
from django.db import DataError, IntegrityError, OperationalError, connection, transaction

from runs.queries import database
from runs.queries.database import Statement, run

pytestmark = pytest.mark.django_db(transaction=True)

NUMBER = Statement("number", "SELECT %(number)s::int + 1, '%%'")


def prepared() -> int:
    """How many statements the server has prepared for this connection."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%%::int + 1%%'")
        return int(cursor.fetchone()[0])


def test_values_keep_their_types_on_the_way_to_the_server_and_back() -> None:
    same = Statement(
        "same",
        "SELECT %(id)s::uuid, %(at)s::timestamptz, %(text)s::text, %(number)s::float8, %(truth)s::bool, %(none)s::int,"
        " %(ids)s::uuid[], %(texts)s::text[], %(bytes)s::bytea",
    )
    values = {
        "id": uuid4(),
        "at": datetime.now(UTC),
        "text": "a 'quoted' {\"text\"} \\ with ünïcode",
        "number": 1.5,
        "truth": True,
        "none": None,
        "ids": [uuid4(), None],
        "texts": ['"', "\\", "{,}", "", None, "NULL"],
        "bytes": b"\x00\xff",
    }
    [row] = run(same, **values)
    assert row == tuple(values.values())
    assert isinstance(row[0], UUID)
    with transaction.atomic():
        assert run(same, **values) == [row], "the same inside a transaction, where psycopg's cursor executes it"


def test_a_statement_is_prepared_once_and_again_when_it_is_lost() -> None:
    assert [run(NUMBER, number=number) for number in (1, 2, 3)] == [[(2, "%")], [(3, "%")], [(4, "%")]]
    assert prepared() == 1
    with connection.cursor() as cursor:
        cursor.execute("DEALLOCATE ALL")
    assert prepared() == 0
    assert run(NUMBER, number=4) == [(5, "%")]
    assert prepared() == 1


def test_a_rollback_after_a_statement_of_psycopg_gives_up_all_of_them() -> None:
    run(NUMBER, number=1)
    with transaction.atomic():
        run(NUMBER, number=2)
        transaction.set_rollback(True)
    assert run(NUMBER, number=3) == [(4, "%")]


def test_a_connection_keeps_a_bounded_number_of_statements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_MOST_PREPARED", 3)
    many = [Statement(f"many_{number}", f"SELECT %(number)s::int + 1, '{number}'") for number in range(5)]
    connection.close()
    assert [run(one, number=1) for one in many + many] == [[(2, str(number))] for number in range(5)] * 2
    assert prepared() == 3


def test_without_prepared_statements_in_the_settings_none_is_prepared() -> None:
    connection.ensure_connection()
    connection.connection.prepare_threshold = None
    try:
        assert run(NUMBER, number=1) == [(2, "%")]
        assert prepared() == 0
    finally:
        connection.close()


def test_a_migration_may_change_the_columns_of_a_result() -> None:
    everything = Statement("everything", "SELECT * FROM changing")
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE changing AS SELECT 1 AS a")
        try:
            assert run(everything) == [(1,)]
            cursor.execute("ALTER TABLE changing ADD COLUMN b text DEFAULT 'new'")
            assert run(everything) == [(1, "new")]
        finally:
            cursor.execute("DROP TABLE changing")


def test_errors_are_django_s_and_the_connection_goes_on() -> None:
    with pytest.raises(DataError) as refused:
        run(Statement("divided", "SELECT 1 / %(number)s::int"), number=0)
    assert isinstance(refused.value.__cause__, psycopg.errors.DivisionByZero)
    with pytest.raises(Exception, match="nowhere"):
        run(Statement("nowhere", "SELECT * FROM nowhere"))
    with pytest.raises(IntegrityError):
        run(Statement("no_version", "INSERT INTO workflows_version (id) VALUES (%(id)s::uuid)"), id=uuid4())
    assert run(NUMBER, number=1) == [(2, "%")]


def test_a_connection_that_the_server_ended_is_an_operational_error_and_a_new_one_works() -> None:
    run(NUMBER, number=1)
    with psycopg.connect(connection.connection.info.dsn, password=connection.settings_dict["PASSWORD"]) as other:
        other.execute("SELECT pg_terminate_backend(%s)", [connection.connection.info.backend_pid])
    with pytest.raises(OperationalError):
        run(NUMBER, number=1)
    connection.close_if_unusable_or_obsolete()
    assert run(NUMBER, number=1) == [(2, "%")]


def test_inside_a_transaction_a_statement_takes_part_in_it() -> None:
    made = Statement("made", "CREATE TABLE taken_back (id int)")
    with transaction.atomic():
        run(made)
        transaction.set_rollback(True)
    assert run(Statement("is_there", "SELECT to_regclass('taken_back') IS NOT NULL")) == [(False,)]
