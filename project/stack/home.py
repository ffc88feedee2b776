"""Create STEPWISE_HOME, and lock it, so that only one `make up` uses it at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from project.running import LOCK
from project.stack.errors import StackError


@contextmanager
def held(home: Path) -> Iterator[None]:
    """Create the directory and hold its lock. The kernel releases the lock when the process ends, however it ends."""
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(home / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StackError(
            f"STEPWISE_HOME {home} cannot be written ({error.strerror}); choose another directory"
        ) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StackError(
            f"`make up` runs already with {home}; stop it, or start a second copy with another"
            " STEPWISE_HOME, PORT and FLOWER_PORT"
        ) from None
    else:
        yield
    finally:
        os.close(descriptor)
