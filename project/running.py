"""Whether `make up` is running, for error messages of commands in another terminal."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from django.db import OperationalError

from project import env

LOCK = "up.lock"


def is_running(home: Path) -> bool:
    """Whether a supervisor holds this home's lock. The kernel releases the lock when the supervisor ends."""
    try:
        descriptor = os.open(home / LOCK, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def why_no_database(error: OperationalError) -> str:
    """Return one line for a failed connection: that `make up` is not running, or the driver's message."""
    home = env.home()
    if not env.told("DATABASE_URL") and (home / env.CREDENTIALS).exists() and not is_running(home):
        return (
            f"the database does not answer, as `make up` is not running with {home}; start it first. {env.home_hint()}"
        )
    return " ".join(str(error).split())
