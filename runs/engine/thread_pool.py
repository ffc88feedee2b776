"""The pool of threads in which a process performs effectful steps. A thread that is stuck is replaced by a new one."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

from django.conf import settings
from django.db import connection, connections

from runs.engine.places import Places

# At most this number of threads have a connection for the engine's statements; PostgreSQL's default is 100 in total.
_CONNECTIONS = 4


class Job:
    """A function for a thread to call, and `then`, which the thread calls after it. Neither may raise.

    A job is `aside` once it is known to be slow: then it takes no place from quick ones. Its place is one of its
    workspace's.
    """

    def __init__(self, work: Callable[[], object], then: Callable[[], None], *, workspace: UUID | None) -> None:
        self.work = work
        self.then = then
        self.workspace = workspace
        self.over = False
        self.abandoned = False
        self.aside = False


class Threads:
    """A pool with places for `size` jobs, and for up to `aside` more that are slow. Stuck threads take no place.

    Workspaces share both kinds of places, and some more are kept for those that come later (runs.engine.places). They
    are daemon threads, so that none delays the exit of the process: Python cannot kill a thread.
    """

    def __init__(self, size: int, *, aside: int = 0) -> None:
        self.few = threading.BoundedSemaphore(_CONNECTIONS)
        self._jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._changed = threading.Lock()
        self._places = Places(size)
        self._places_aside = Places(aside)
        self._idle = 0
        self._stuck = 0

    @property
    def stuck(self) -> int:
        """The number of threads that are still busy with an abandoned job."""
        return self._stuck

    @property
    def free(self) -> tuple[int, int]:
        """How many places are free for quick jobs, and for slow ones, with what is kept for other workspaces."""
        return self._places.free, self._places_aside.free

    def reserve(self, most: int, *, workspace: UUID | None) -> int:
        """Reserve places for up to `most` jobs of a workspace that begin at once, and return their number.

        It is 0 if none is free for that workspace.
        """
        with self._changed:
            return self._places.take(most, workspace=workspace)

    def give_back(self, places: int, *, workspace: UUID | None) -> None:
        """Give back reserved places that are not needed."""
        with self._changed:
            self._places.give_back(places, workspace=workspace)

    def step_aside(self, job: Job) -> None:
        """Give back the place of a job that is slow, if there is room beside the places for it."""
        with self._changed:
            if job.over or job.aside or job.abandoned:
                return
            if self._places_aside.take(1, workspace=job.workspace):
                job.aside = True
                self._places.give_back(1, workspace=job.workspace)

    def start(self, work: Callable[[], object], *, then: Callable[[], None], workspace: UUID | None) -> Job:
        """Start `work` in a place reserved for its workspace. `then` is called when that thread is free again."""
        job = Job(work, then, workspace=workspace)
        with self._changed:
            if self._idle:
                self._idle -= 1
            else:
                threading.Thread(target=self._serve, name="step", daemon=True).start()
        self._jobs.put(job)
        return job

    def abandon(self, job: Job) -> None:
        """Stop waiting for a job: another thread may take its place, and its own thread ends if the job ever does."""
        with self._changed:
            if not job.over:
                job.abandoned = True
                self._stuck += 1
                self._leave(job)

    def _serve(self) -> None:
        _local.threads = self
        while True:
            job = self._jobs.get()
            try:
                job.work()
            finally:
                # If the job used Django's connections, those belong to this thread only.
                connections.close_all()
            with self._changed:
                job.over = True
                if job.abandoned:
                    self._stuck -= 1
                    return
                self._leave(job)
                self._idle += 1
            job.then()

    def _leave(self, job: Job) -> None:
        places = self._places_aside if job.aside else self._places
        places.give_back(1, workspace=job.workspace)


class _Local(threading.local):
    # The pool that this thread belongs to.
    threads: Threads | None = None


class _Process:
    """The pool of this process. A forked child starts without one, because threads do not survive a fork."""

    threads: Threads | None = None
    lock = threading.Lock()


_local = _Local()


def _forget() -> None:
    _Process.threads = None
    _Process.lock = threading.Lock()


os.register_at_fork(after_in_child=_forget)


def current() -> Threads:
    """Return the pool of this process; it is made at the first call."""
    with _Process.lock:
        if _Process.threads is None:
            _Process.threads = Threads(settings.IO_THREADS, aside=settings.SLOW_STEPS)
        return _Process.threads


def join_pool() -> None:
    """Let the calling thread count as one of the pool, so that it borrows its connections (`borrowed_connection`)."""
    _local.threads = current()


def worn_out() -> bool:
    """Whether IO_THREADS threads are stuck, so that this process should end and be replaced."""
    return _Process.threads is not None and _Process.threads.stuck >= settings.IO_THREADS


@contextmanager
def borrowed_connection() -> Iterator[None]:
    """Allow the use of a database connection inside the block, and close it afterwards.

    Only _CONNECTIONS threads of the pool are inside at once. A connection that the attempt had opened before stays
    open, and so does that of a thread outside the pool.
    """
    if _local.threads is None or connection.connection is not None:
        yield
        return
    with _local.threads.few:
        try:
            yield
        finally:
            connection.close()
