"""What a worker's main process notices at once: the death of a child in the middle of a delivery."""

from __future__ import annotations

import queue
import threading
from typing import Any

from billiard.exceptions import WorkerLostError
from celery.worker.request import Request

from runs.domain.outcomes import Death

# The sweep's thread takes them from here: the main process's own loop must not wait for a database.
deaths: queue.SimpleQueue[Death] = queue.SimpleQueue()
awake = threading.Event()


class WatchedRequest(Request):
    """A request that tells the sweep when its child is gone: killed, crashed, or ended by the hard time limit."""

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> Any:
        """Celery's handler for everything but success."""
        error = getattr(exc_info.exception, "exc", exc_info.exception)
        if isinstance(error, (WorkerLostError, SystemExit)):
            self._tell()
        return super().on_failure(exc_info, send_failed_event=send_failed_event, return_ok=return_ok)

    def on_timeout(self, soft: bool, timeout: float) -> Any:
        """Celery's handler for time limits; the hard one kills the child."""
        if not soft:
            self._tell()
        return super().on_timeout(soft, timeout)

    def info(self, safe: bool = False) -> Any:
        """What `inspect` and Flower show of it: never an input."""
        return super().info(safe=True)

    def _tell(self) -> None:
        runs = self.args[0] if self.args else ()
        deaths.put(
            Death(
                pid=None if self.worker_pid is None else int(self.worker_pid),
                runs=tuple(runs),
                head=str(self.kwargs.get("head", "")),
            )
        )
        awake.set()


def taken() -> list[Death]:
    """The deaths since the last call."""
    found = []
    while True:
        try:
            found.append(deaths.get_nowait())
        except queue.Empty:
            return found
