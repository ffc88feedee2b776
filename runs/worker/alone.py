"""Perform suspects in processes of their own, which the worker's main process forks: with nothing beside them.

Whatever a suspect does to its process, only that process ends. The sweep sees that it is gone, and counts the death
against this step alone.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Sequence

from django.db import connections

from runs.dispatch import dispatcher
from runs.domain.requests import Due
from runs.engine import journal, memory_limit, thread_pool, tickets
from runs.maintenance import suspects

log = logging.getLogger(__name__)

# How many processes at once, and how many suspects each performs at most, one after the other.
_PROCESSES = 16
_SUSPECTS = 20
# A process whose step has not ended this long after its timeout is ended by the kernel; also the time for what is to be
# done before and after a step.
_GRACE_SECONDS = 10
# A process begins no other suspect after this time; those that are left are due again at once.
_BUDGET_SECONDS = 2.0


class Alone:
    """The processes of one worker that perform suspects. For its sweep's thread only."""

    def __init__(self) -> None:
        self._pids: set[int] = set()

    def start(self) -> int:
        """Take suspects that are due, and start processes that perform them; return how many they are."""
        self.reap()
        free = _PROCESSES - len(self._pids)
        found = suspects.pick(limit=free * _SUSPECTS) if free else []
        if found:
            log.info("suspects_alone", extra={"count": len(found), "first": str(found[0].run_id)})
        each = -(-len(found) // free) if free else 0
        for at in range(0, len(found), each or 1):
            pid = os.fork()
            if pid == 0:
                _perform(found[at : at + each])
            self._pids.add(pid)
        return len(found)

    def stop(self, *, within_seconds: float) -> None:
        """Wait for the processes to end. Those that take longer end by themselves: a kill would count as a death."""
        until = time.monotonic() + within_seconds
        while self._pids and time.monotonic() < until:
            self.reap()
            time.sleep(0.05)

    def reap(self) -> None:
        """Take notice of the processes that have ended."""
        for pid in list(self._pids):
            try:
                ended, status = os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                ended, status = pid, 0
            if ended:
                self._pids.discard(pid)
                if status:
                    log.warning("suspect_died", extra={"pid": pid, "status": status})


def _perform(found: Sequence[Due]) -> None:
    """Perform suspects in the process that was just forked, and end it."""
    status = 1
    try:
        _begin()
        began = time.monotonic()
        left = list(found)
        # Not beside a step that has outlasted its timeout and is still there.
        while left and time.monotonic() - began < _BUDGET_SECONDS and not thread_pool.current().stuck:
            suspects.perform([left.pop(0)], before_each=_limit)
            _limit(0)
        journal.flush()
        tickets.unsend([one.ticket for one in left])
        dispatcher.refill()
        status = 0
    except BaseException:
        log.exception("suspects_failed")
    finally:
        os._exit(status)


def _begin() -> None:
    """Leave what the process shares with its parent, and let the kernel end it if it hangs from here on, and limit its
    memory.

    Connections are forgotten and not closed, which would end the parent's session; psycopg closes nothing that another
    process has opened. Signals of a shutdown are ignored: the worker waits for this process (Alone.stop).
    """
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    _limit(0)
    memory_limit.begin()
    for connection in connections.all(initialized_only=True):
        connection.connection = None
    for number in (signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    signal.set_wakeup_fd(-1)


def _limit(timeout_seconds: float) -> None:
    """Let the kernel end this process some time after this timeout."""
    signal.alarm(int(timeout_seconds) + _GRACE_SECONDS)
