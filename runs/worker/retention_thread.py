"""Retention as a thread of each worker's main process. Only one process prunes at a time.

The same thread logs the tokens that end soon, once a day.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from celery import bootsteps
from django.db import DatabaseError, InterfaceError, connection

from runs.maintenance import retention, state, token_ends

log = logging.getLogger(__name__)

FIRST_SECONDS = 30.0
INTERVAL_SECONDS = 300.0
TOKENS_SECONDS = 86_400.0


class RetentionStep(bootsteps.StartStopStep):
    """Starts and stops the thread with the worker. Its database connection is open only while it prunes."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.keep, name="retention", daemon=True)

    def start(self, parent: Any) -> None:
        """Start the thread, after the pool has forked, so that no child inherits its connection."""
        self.thread.start()

    def stop(self, parent: Any) -> None:
        """Stop the thread after the current batch."""
        self.stopping.set()
        self.thread.join(timeout=5)

    def keep(self) -> None:
        """Prune every five minutes. A failure is logged, and the next round goes on from there."""
        pause, tokens_due = FIRST_SECONDS, 0.0
        while not self.stopping.wait(pause):
            pause = INTERVAL_SECONDS
            try:
                if time.monotonic() >= tokens_due:
                    token_ends.log_ending_soon()
                    tokens_due = time.monotonic() + TOKENS_SECONDS
                state.forget_expired()
                retention.prune_all(wait=self.stopping.wait)
            except (DatabaseError, InterfaceError) as error:
                log.warning("retention_failed", extra={"error": str(error)})
            except Exception:
                log.exception("retention_failed")
            finally:
                connection.close()
