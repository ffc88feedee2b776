"""The journal: one thread of a process that writes what steps tell while they are performed, off their way.

It writes log lines (runs.engine.step_logs) in sets, and the checkpoints that an attempt's thread left to it
(runs.engine.checkpoints): once a second, and soon after an attempt has ended. Without such steps there is no thread.
"""

from __future__ import annotations

import logging
import os
import threading
import time

from django.db import Error, connection

from runs.domain.outcomes import StepKey
from runs.engine import checkpoints, step_logs
from runs.engine.lease import Held
from runs.engine.thread_pool import borrowed_connection

log = logging.getLogger(__name__)

EVERY_SECONDS = 1.0
# Attempts that end this soon after one another share a statement.
_GATHER_SECONDS = 0.05
# An idle thread ends after this time.
_IDLE_SECONDS = 2.0


class _Process:
    """The thread of this process. A forked child starts without one, and without what its parent has to write."""

    lock = threading.Lock()
    hurry = threading.Event()
    busy = False


def _forget() -> None:
    _Process.lock, _Process.hurry, _Process.busy = threading.Lock(), threading.Event(), False
    step_logs.forget()
    checkpoints.forget()


os.register_at_fork(after_in_child=_forget)


def begin() -> None:
    """Make sure that what is kept by now will be written within about a second."""
    if _Process.busy:
        return
    with _Process.lock:
        if not _Process.busy:
            _Process.busy = True
            threading.Thread(target=_serve, name="journal", daemon=True).start()


def settle(held: Held) -> None:
    """Call it at an attempt's end, before its record: writes its last checkpoint, and soon its log lines.

    It costs nothing for an attempt that told nothing.
    """
    try:
        checkpoints.settle(held)
    except Exception:  # whatever it is, the attempt has its result, which must be recorded
        log.exception("journal_failed")
    if step_logs.waits() and step_logs.waits(_key(held)):
        _Process.hurry.set()
        begin()


def flush() -> None:
    """Write the log lines that are kept, in the calling thread: for a process that is about to end."""
    if not step_logs.waits():
        return
    try:
        with borrowed_connection():
            step_logs.write()
    except Error as error:
        log.warning("step_logs_not_written", extra={"error": str(error)})


def idle() -> bool:
    """Whether nothing is left to be written."""
    return not step_logs.waits() and not checkpoints.waits()


def _key(held: Held) -> StepKey:
    run_id, item, step, _ = held
    return run_id, step, item


def _serve() -> None:
    quiet_since = time.monotonic()
    pause = EVERY_SECONDS
    while True:
        if _Process.hurry.wait(pause):
            time.sleep(_GATHER_SECONDS)
            _Process.hurry.clear()
        pause = _round()
        now = time.monotonic()
        if not idle():
            quiet_since = now
        elif now - quiet_since >= _IDLE_SECONDS and _rests():
            return


def _round() -> float:
    """Write what is due, and return the seconds until the next round."""
    try:
        due = checkpoints.write_due()
        step_logs.write()
        return EVERY_SECONDS if due is None else min(due, EVERY_SECONDS)
    except Error as error:
        log.warning("journal_failed", extra={"error": str(error)})
        connection.close()
    except Exception:
        log.exception("journal_failed")
        connection.close()
    return EVERY_SECONDS


def _rests() -> bool:
    """End the thread, unless something was kept meanwhile; whether it is to end."""
    with _Process.lock:
        if not idle():
            return False
        _Process.busy = False
    connection.close()
    return True
