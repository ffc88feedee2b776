"""Notice, in a worker's main process, that a child has died in the middle of a delivery."""

from __future__ import annotations

import queue
import threading
from typing import Any

from billiard.exceptions import WorkerLostError
from billiard.pool import EX_RECYCLE
from celery.worker.request import Request

from runs.domain.outcomes import Death

# For the sweep's thread, which `awake` wakes: the event loop of the main process must not wait for a database.
deaths: queue.SimpleQueue[Death] = queue.SimpleQueue()
awake = threading.Event()


class WatchedRequest(Request):
    """A Celery request that reports to the sweep if its child is killed, crashes, or exceeds the hard time limit."""

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> Any:
        """Called by Celery for every result but success."""
        error = getattr(exc_info.exception, "exc", exc_info.exception)
        # A child that is replaced has recorded what it had under way, and died of nothing.
        replaced = isinstance(error, SystemExit) and error.code == EX_RECYCLE
        if isinstance(error, (WorkerLostError, SystemExit)) and not replaced:
            self._report_death()
        return super().on_failure(exc_info, send_failed_event=send_failed_event, return_ok=return_ok)

    def on_timeout(self, soft: bool, timeout: float) -> Any:
        """Called by Celery for time limits; the hard one kills the child."""
        if not soft:
            self._report_death()
        return super().on_timeout(soft, timeout)

    def info(self, safe: bool = False) -> Any:
        """Return what `inspect` and Flower show of the request: never an input."""
        return super().info(safe=True)

    def _report_death(self) -> None:
        runs = self.args[0] if self.args else None
        deaths.put(
            Death(
                pid=None if self.worker_pid is None else int(self.worker_pid),
                runs=tuple(runs) if isinstance(runs, list) else (),
                head=str(self.kwargs.get("head", "")),
            )
        )
        awake.set()


def taken() -> list[Death]:
    """Return the deaths since the last call."""
    found = []
    while True:
        try:
            found.append(deaths.get_nowait())
        except queue.Empty:
            return found
