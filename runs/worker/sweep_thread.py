"""The sweep as a thread of each worker's main process: it needs neither a free child nor the broker."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from celery import bootsteps
from django.db import DatabaseError, InterfaceError, connection

from runs.control import signals
from runs.maintenance import invariants
from runs.maintenance import sweep as sweeping
from runs.maintenance.sweep import INTERVAL_SECONDS, TICK_SECONDS
from runs.worker import child_watch as watch

log = logging.getLogger(__name__)

AUDIT_SECONDS = 60.0


class SweepStep(bootsteps.StartStopStep):
    """Starts the sweep with the worker and stops it with it. Its connection is the thread's own."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self.stopping = threading.Event()
        self.audited = time.monotonic()
        self.thread = threading.Thread(target=self.sweep, name="sweep", daemon=True)

    def start(self, parent: Any) -> None:
        """Begin after the pool has forked, so that no child inherits the connection."""
        self.thread.start()

    def stop(self, parent: Any) -> None:
        """End with the round under way."""
        self.stopping.set()
        watch.awake.set()
        self.thread.join(timeout=5)

    def sweep(self) -> None:
        """A round every second, sooner where a retry or wait comes due or a child dies; a failed one is told."""
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
        """Sweep once; answers the seconds until the next round."""
        deaths = watch.taken()
        if deaths:
            sweeping.children_died(deaths)
        coming = sweeping.sweep().next_seconds
        # Last, for it takes its time where there is much to look at, and holds up nobody then.
        if time.monotonic() - self.audited >= AUDIT_SECONDS:
            self.audited = time.monotonic()
            invariants.check()
            signals.forget()
        return INTERVAL_SECONDS if coming is None else min(INTERVAL_SECONDS, coming + TICK_SECONDS)
