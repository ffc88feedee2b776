"""The process lease: the row by which others know that what this process performs is still being performed."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

from django.conf import settings
from django.db import Error, connection
from uuid_utils.compat import uuid7

from runs.queries import leases
from runs.queries.database import columns, run

log = logging.getLogger(__name__)


# What this process performs: run, item, step, attempt.
Held = tuple[UUID, int, str, int]
_in_hand: set[Held] = set()
# Those of it whose run was stopped meanwhile, as of the last beat.
_stopped: set[Held] = set()


class _Lease:
    """The name under which this process performs, and the thread that keeps it alive."""

    def __init__(self) -> None:
        self.process: UUID | None = None
        # By this process's steady clock; the database's is what counts.
        self.passes_at = 0.0
        self.stop = threading.Event()


_lease = _Lease()
# Held by whoever takes a name or gives one up.
_lock = threading.Lock()


def _forget() -> None:
    """A forked child performs under a name of its own."""
    global _lease, _lock
    _lease, _lock = _Lease(), threading.Lock()


os.register_at_fork(after_in_child=_forget)


def current() -> UUID:
    """This process's name; its row is committed, and beaten by a thread, before the first claim asks for it.

    Where it was not beaten in time by this process's clock, as when it was frozen, the database is asked first: under a
    name that has passed a claim wins nothing, and what the message carries would wait for its repeat.
    """
    with _lock:
        if _lease.process is not None and time.monotonic() >= _lease.passes_at and not _renew(_lease, _lease.process):
            _end(_lease)
        if _lease.process is None:
            process = uuid7()
            _renew(_lease, process)
            threading.Thread(target=_keep, args=(_lease, process), name="process-lease", daemon=True).start()
            # Last: a name without a row, or without a thread that beats it, could never claim anything.
            _lease.process = process
        return _lease.process


def beat(process: UUID) -> bool:
    """Renew the lease; false when it had passed, and so may never be renewed again."""
    found = run(
        leases.BEAT,
        process=process,
        host=host(),
        pid=os.getpid(),
        lease=settings.PROCESS_LEASE_SECONDS,
    )
    return bool(found)


def _renew(lease: _Lease, process: UUID) -> bool:
    asked = time.monotonic()
    renewed = beat(process)
    if renewed:
        lease.passes_at = asked + settings.PROCESS_LEASE_SECONDS
    return renewed


@contextmanager
def holding() -> Iterator[Callable[[Iterable[Held]], None]]:
    """Inside the block, what is handed to the answered function counts as performed by this process."""
    mine: set[Held] = set()

    def take(held: Iterable[Held]) -> None:
        mine.update(held)
        _in_hand.update(mine)

    try:
        yield take
    finally:
        _in_hand.difference_update(mine)


def unclaimed(process: UUID) -> set[Held]:
    """Rows that run under this name and that nobody here performs, as far as one look can tell."""
    return _look(process) - _in_hand


def stopped(held: Held) -> bool:
    """Whether the run of a row in hand was stopped, as far as the last beat saw. Cheap, and safe in any thread."""
    return held in _stopped


def give_up_unclaimed(process: UUID, *, before: set[Held]) -> set[Held]:
    """Let go of rows that were orphans at the last look and still are; answers what is one now.

    One look is not enough: a claim may be committed and its answer still be on the way.
    """
    now = unclaimed(process)
    lost = sorted(now & before)
    if lost:
        log.warning("claim_answer_lost", extra={"lease": str(process), "count": len(lost)})
        names = ("runs", "items", "steps", "attempts")
        run(leases.GIVE_UP, process=process, **dict(zip(names, columns(lost, len(names)), strict=True)))
    return now - before


def _look(process: UUID) -> set[Held]:
    """Every row that runs under this name; takes note of those whose run was stopped."""
    found: dict[Held, bool] = {
        (row[0], row[1], row[2], row[3]): row[4] for row in run(leases.OWN_RUNNING, process=process)
    }
    _stopped.intersection_update(found)
    _stopped.update(held for held, ended in found.items() if ended)
    return set(found)


def host() -> str:
    """Where a pid means the same process: the host's name, and on Linux its pid namespace (a container's own)."""
    try:
        return f"{socket.gethostname()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()


def dead(pids: Iterable[int]) -> list[int]:
    """Those of this host's pids that are gone, or only wait to be reaped."""
    return [pid for pid in pids if not _alive(pid)]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        # After the command's closing bracket comes the state.
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return state not in ("Z", "X")


def give_up() -> None:
    """Take a new name at the next claim: the old one's lease has passed, and others may have taken its steps."""
    with _lock:
        _end(_lease)


def _end(lease: _Lease) -> None:
    """Beat it no more. Under the lock; nothing where another one was taken meanwhile."""
    global _lease  # noqa: PLW0603 - as above
    lease.stop.set()
    if _lease is lease:
        _lease = _Lease()


def _keep(lease: _Lease, process: UUID) -> None:
    """Beat every quarter lease on a connection of this thread's own, until the lease is lost."""
    suspected: set[Held] = set()
    try:
        while not lease.stop.wait(settings.PROCESS_LEASE_SECONDS / 4):
            try:
                suspected = give_up_unclaimed(process, before=suspected)
                if not lease.stop.is_set() and not _renew(lease, process):
                    log.warning("lease_lost", extra={"lease": str(process)})
                    break
            except Error as error:
                # The database is away; the lease may pass meanwhile, and then the next beat says so.
                log.warning("lease_not_renewed", extra={"lease": str(process), "error": str(error)})
                connection.close()
    finally:
        # However this thread ends, nobody may go on claiming under a name that nothing beats.
        connection.close()
        with _lock:
            _end(lease)
