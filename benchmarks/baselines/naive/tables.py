"""Create the naive app's tables, which have no migrations."""

from __future__ import annotations

from django.db import connection

from benchmarks.baselines.naive.models import NaiveRun, NaiveStep


def make() -> None:
    """Create the tables unless they are there."""
    if NaiveRun._meta.db_table not in connection.introspection.table_names():
        with connection.schema_editor() as editor:
            editor.create_model(NaiveRun)
            editor.create_model(NaiveStep)
