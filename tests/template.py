"""Under pytest-xdist, migrate one database and let each process copy it: to migrate takes seconds of CPU time."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from django.core.management import call_command
from django.db import connection

_NAME = "stepwise_template"


def use() -> None:
    """Let this process make its test database as a copy; the first process makes the original, and others wait."""
    home = os.environ["STEPWISE_TEST_HOME"]
    # On servers of somebody's own it could be left from an earlier session, with other migrations.
    if "PYTEST_XDIST_WORKER" not in os.environ or "TEST_DATABASE_URL" in os.environ:
        return
    done = Path(home) / "template"
    with done.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            _make()
            done.touch()
    connection.settings_dict["TEST"]["TEMPLATE"] = _NAME


def _make() -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {_NAME}")
    connection.close()
    name, connection.settings_dict["NAME"] = connection.settings_dict["NAME"], _NAME
    try:
        call_command("migrate", verbosity=0)
    finally:
        # A database with a connection cannot be copied.
        connection.close()
        connection.settings_dict["NAME"] = name
