"""The sweep as a thread of each worker's main process: it needs neither a free child nor the broker."""

from __future__ import annotations

import logging
import threading
from typing import Any

from celery import bootsteps
from django.db import DatabaseError, InterfaceError, connection

from runs import recovery

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 1.0
# Late rather than early: a round that comes before the row is due finds nothing.
TICK_SECONDS = 0.02


class SweepStep(bootsteps.StartStopStep):
    """Starts the sweep with the worker and stops it with it. Its connection is the thread's own."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.sweep, name="sweep", daemon=True)

    def start(self, parent: Any) -> None:
        """Begin after the pool has forked, so that no child inherits the connection."""
        self.thread.start()

    def stop(self, parent: Any) -> None:
        """End with the round under way."""
        self.stopping.set()
        self.thread.join(timeout=5)

    def sweep(self) -> None:
        """A round every second, sooner where a retry or wait comes due; one that fails is told and tried again."""
        pause = INTERVAL_SECONDS
        while not self.stopping.wait(pause):
            pause = INTERVAL_SECONDS
            try:
                coming = recovery.sweep().next_seconds
                if coming is not None:
                    pause = min(INTERVAL_SECONDS, coming + TICK_SECONDS)
            except (DatabaseError, InterfaceError) as error:
                log.warning("sweep_failed", extra={"error": str(error)})
                connection.close()
            except Exception:
                log.exception("sweep_failed")
        connection.close()
