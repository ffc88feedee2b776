"""The sweep as a thread of each worker's main process, where it needs neither a free child nor the broker."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from celery import bootsteps
from django.db import DatabaseError, InterfaceError, connection

from runs.control import signals
from runs.engine import long_links
from runs.maintenance import invariants
from runs.maintenance import sweep as sweeping
from runs.maintenance.burning import Burning
from runs.maintenance.sweep import INTERVAL_SECONDS, TICK_SECONDS
from runs.worker import child_watch as watch
from runs.worker import pulse
from runs.worker.alone import Alone

log = logging.getLogger(__name__)

AUDIT_SECONDS = 60.0


class SweepStep(bootsteps.StartStopStep):
    """Starts and stops the thread with the worker. The thread has a database connection of its own."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self.stopping = threading.Event()
        self.audited = time.monotonic()
        self.pulses = pulse.Pulses()
        self.burning = Burning()
        self.alone = Alone()
        self.thread = threading.Thread(target=self.sweep, name="sweep", daemon=True)

    def start(self, parent: Any) -> None:
        """Start the thread, after the pool has forked, so that no child inherits its connection."""
        self.pool = parent.pool
        self.thread.start()

    def stop(self, parent: Any) -> None:
        """Stop the thread after the current round."""
        self.stopping.set()
        watch.awake.set()
        self.thread.join(timeout=5)
        if not self.thread.is_alive():
            self.alone.stop(within_seconds=5)

    def sweep(self) -> None:
        """Sweep every second, and sooner when a retry or wait is due or a child dies. A round that fails is logged."""
        pause = INTERVAL_SECONDS
        while not self._stopped_within(pause):
            try:
                pause = self._round()
            except (DatabaseError, InterfaceError) as error:
                pause = INTERVAL_SECONDS
                log.warning("sweep_failed", extra={"error": str(error)})
                connection.close()
            except Exception:
                pause = INTERVAL_SECONDS
                log.exception("sweep_failed")
        connection.close()

    def _stopped_within(self, seconds: float) -> bool:
        watch.awake.wait(seconds)
        watch.awake.clear()
        return self.stopping.is_set()

    def _round(self) -> float:
        """Sweep once, and return the seconds until the next round."""
        deaths = watch.taken()
        if deaths:
            sweeping.children_died(deaths, ended=self.burning.ended)
        children = _children(self.pool)
        self.pulses.end_hanging(children)
        self.burning.end(children)
        long_links.count(len(children))
        self.alone.reap()
        coming = sweeping.sweep(alone=self.alone.start).next_seconds
        # Last, because it is slow in a big database, and then delays none of the work above.
        if time.monotonic() - self.audited >= AUDIT_SECONDS:
            self.audited = time.monotonic()
            invariants.check()
            signals.forget()
        return INTERVAL_SECONDS if coming is None else min(INTERVAL_SECONDS, coming + TICK_SECONDS)


def _children(pool: Any) -> list[int]:
    """Return the pids of the pool's children; none for pools that have no processes."""
    return [child.pid for child in getattr(getattr(pool, "_pool", None), "_pool", None) or () if child.pid]
