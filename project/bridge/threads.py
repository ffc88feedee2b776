"""A pool of threads with a bounded queue."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

Work = Callable[[], None]


class Pool:
    """Up to `threads` threads, and up to `waiting` pieces of work that wait for one.

    A thread is started when there is work and no thread for it, and ends after `idle_seconds` without work. Before it
    ends it calls `at_end`, to close what belongs to it. Work must not raise.
    """

    def __init__(
        self, name: str, *, threads: int, waiting: int, at_end: Callable[[], None], idle_seconds: float = 30.0
    ) -> None:
        self._name = name
        self._most_threads = threads
        self._most_work = threads + waiting
        self._at_end = at_end
        self._idle_seconds = idle_seconds
        self._queue: queue.SimpleQueue[Work] = queue.SimpleQueue()
        self._lock = threading.Lock()
        # Work that was taken and has not ended, and threads that were started and have not ended.
        self._work = 0
        self._threads = 0

    def take(self, work: Work) -> bool:
        """Perform the work in a thread, at once or as soon as one is free. Return False if the queue is full."""
        with self._lock:
            if self._work >= self._most_work:
                return False
            self._work += 1
            more = self._threads < min(self._work, self._most_threads)
            self._threads += more
        self._queue.put(work)
        if more:
            # A daemon: what hangs does not keep the process from ending.
            threading.Thread(target=self._run, name=self._name, daemon=True).start()
        return True

    def threads(self) -> int:
        """Return the number of threads that there are now."""
        return self._threads

    def _run(self) -> None:
        while True:
            try:
                work = self._queue.get(timeout=self._idle_seconds)
            except queue.Empty:
                if self._may_end():
                    break
                continue
            try:
                work()
            finally:
                with self._lock:
                    self._work -= 1
        self._at_end()

    def _may_end(self) -> bool:
        """Whether the other threads suffice for the work that there is; if so, this thread counts no longer."""
        with self._lock:
            if self._work >= self._threads:
                return False
            self._threads -= 1
            return True
