"""Empty the database after a test that commits, in a tenth of the time that Django's `flush` takes.

`flush` truncates every table and then writes all content types and permissions again, which took half of the time of
such a test. Here those two are left as they are. Of the others, those that hold something are emptied: a small table
by a DELETE, since a TRUNCATE makes new files for it and for each of its indexes, which takes longer than most tests do.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction
from django.db.models import Count, Max
from django.test import TransactionTestCase

_KEPT = (ContentType, Permission)
# From this size on a table is truncated. Below it, its deleted rows are in nobody's way.
_SMALL_BYTES = 16 * 8192
_flush = TransactionTestCase._fixture_teardown  # type: ignore[attr-defined]  # private
# What the tables that are kept hold, by database; unknown until the first flush in this process.
_known: dict[str, Any] = {}


def install() -> None:
    """From now on in this process."""
    TransactionTestCase._fixture_teardown = _empty  # type: ignore[attr-defined]


def _empty(case: TransactionTestCase) -> None:
    database = str(connection.settings_dict["NAME"])
    if _known.get(database) == _kept():
        empty()
    else:
        # The first time, or a test has changed what is kept: as Django does it.
        _flush(case)
        _known[database] = _kept()


def _kept() -> list[dict[str, int]]:
    """Enough to notice a row that came or went."""
    return [model._default_manager.aggregate(Count("pk"), Max("pk")) for model in _KEPT]


def empty(*, small_bytes: int = _SMALL_BYTES) -> None:
    """Empty every table but those that are kept; with 0 bytes leave no deleted row either, and no page."""
    sizes = _written_tables()
    small = [name for name, size in sizes.items() if size <= small_bytes] if _may_leave_out_triggers() else []
    _delete(small)
    _truncate([name for name in sizes if name not in small])


def _written_tables() -> dict[str, int]:
    """Those of Django's models that have pages, also where no row is left in them, and their sizes in bytes."""
    kept = {model._meta.db_table for model in _KEPT}
    names = sorted(set(connection.introspection.django_table_names(include_views=False)) - kept)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname, pg_relation_size(oid) FROM pg_class WHERE relname = ANY(%s) AND relkind = 'r'"
            " AND relnamespace = current_schema()::regnamespace AND pg_relation_size(oid) > 0",
            [names],
        )
        return dict(cursor.fetchall())


@cache
def _may_leave_out_triggers() -> bool:
    """Whether the role may do so: on a server of one's own (TEST_DATABASE_URL) it need not be a superuser."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT has_parameter_privilege('session_replication_role', 'SET')")
        return bool(cursor.fetchone()[0])


def _delete(names: list[str]) -> None:
    if names:
        deletes = ";".join(f"DELETE FROM {connection.ops.quote_name(name)}" for name in names)
        with transaction.atomic(), connection.cursor() as cursor:
            # Without triggers: no order among the tables is needed, and nothing counts what goes.
            cursor.execute(f"SET LOCAL session_replication_role = replica;{deletes}")


def _truncate(names: list[str]) -> None:
    if names:
        quoted = ", ".join(map(connection.ops.quote_name, names))
        with connection.cursor() as cursor:
            # Tables that refer to these go with them; none that is kept does.
            cursor.execute(f"TRUNCATE {quoted} CASCADE")
