"""The threads in which a process performs effectful steps: bounded, kept, and replaced where one is stuck."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.conf import settings
from django.db import connection, connections

# So many threads at once may have a connection for a statement of ours; PostgreSQL allows 100 in all by default.
_CONNECTIONS = 4


class Job:
    """Something that a thread is to do, after which it calls `then`. Neither may raise."""

    def __init__(self, work: Callable[[], object], then: Callable[[], None]) -> None:
        self.work = work
        self.then = then
        self.over = False
        self.abandoned = False


class Threads:
    """At most `size` threads that are not stuck. They are daemons: Python cannot end them, so none holds up an exit."""

    def __init__(self, size: int) -> None:
        self.few = threading.BoundedSemaphore(_CONNECTIONS)
        self._jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._free = size
        self._idle = 0
        self._stuck = 0

    @property
    def stuck(self) -> int:
        """How many are held by jobs that were abandoned."""
        return self._stuck

    def reserve(self, most: int, *, wait_seconds: float = 0.0) -> int:
        """Places for jobs that begin at once, at most so many; waits where there is none, and answers 0 after that."""
        with self._changed:
            self._changed.wait_for(lambda: self._free > 0, timeout=wait_seconds)
            got = min(most, self._free)
            self._free -= got
            return got

    def give_back(self, slots: int) -> None:
        """Reserved places that are not needed."""
        with self._changed:
            self._free += slots
            self._changed.notify_all()

    def start(self, work: Callable[[], object], *, then: Callable[[], None]) -> Job:
        """Do it at once, in a place that was reserved; `then` is called when the place is free again."""
        job = Job(work, then)
        with self._changed:
            if self._idle:
                self._idle -= 1
            else:
                threading.Thread(target=self._serve, name="step", daemon=True).start()
        self._jobs.put(job)
        return job

    def abandon(self, job: Job) -> None:
        """Wait no longer for it: its place is free, and its thread ends if the job ever does."""
        with self._changed:
            if not job.over:
                job.abandoned = True
                self._stuck += 1
                self._free += 1
                self._changed.notify_all()

    def _serve(self) -> None:
        _local.threads = self
        while True:
            job = self._jobs.get()
            try:
                job.work()
            finally:
                # What it did over Django's connections it did on connections of this thread's own.
                connections.close_all()
            with self._changed:
                job.over = True
                if job.abandoned:
                    self._stuck -= 1
                    return
                self._free += 1
                self._idle += 1
                self._changed.notify_all()
            job.then()


class _Local(threading.local):
    # The threads that this one is of.
    threads: Threads | None = None


class _Process:
    """This process's own; a forked child has none of its parent's threads."""

    threads: Threads | None = None
    lock = threading.Lock()


_local = _Local()


def _forget() -> None:
    _Process.threads = None
    _Process.lock = threading.Lock()


os.register_at_fork(after_in_child=_forget)


def current() -> Threads:
    """The threads of this process."""
    with _Process.lock:
        if _Process.threads is None:
            _Process.threads = Threads(settings.IO_THREADS)
        return _Process.threads


def worn_out() -> bool:
    """Whether so many threads are stuck that the process should make room for a new one."""
    return _Process.threads is not None and _Process.threads.stuck >= settings.IO_THREADS


@contextmanager
def borrowed_connection() -> Iterator[None]:
    """A moment with a database connection: of the threads above only a few have one at once, and none keeps it.

    A connection that the attempt had opened before, and any other thread's, stays.
    """
    if _local.threads is None or connection.connection is not None:
        yield
        return
    with _local.threads.few:
        try:
            yield
        finally:
            connection.close()
