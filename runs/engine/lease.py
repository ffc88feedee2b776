"""The process lease: a row that a process renews, and without which the sweep takes its running steps for lost."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from uuid import UUID

from django.conf import settings
from django.db import Error, connection
from uuid_utils.compat import uuid7

from runs.queries import leases
from runs.queries.database import columns, run

log = logging.getLogger(__name__)


# An attempt that this process performs: run, item, step, attempt.
Held = tuple[UUID, int, str, int]
_in_hand: set[Held] = set()
# Those of them whose run was stopped since, as of the last renewal.
_stopped: set[Held] = set()


class _Lease:
    """One lease of this process: its name, a uuid under which steps are claimed, and the state of its thread."""

    def __init__(self) -> None:
        self.process: UUID | None = None
        # By this process's monotonic clock; what counts is the database's.
        self.passes_at = 0.0
        self.stop = threading.Event()


_lease = _Lease()
# When leases of this process ended although it lived, and within which time that many are too many.
_lost_at: deque[float] = deque(maxlen=3)
_ALARM_SECONDS = 300.0
# Guards taking a new lease and giving one up.
_lock = threading.Lock()


def _forget() -> None:
    """Start without a lease in a forked child: it takes one under its own name."""
    global _lease, _lock
    _lease, _lock = _Lease(), threading.Lock()


os.register_at_fork(after_in_child=_forget)


def current() -> UUID:
    """Return the name of this process's lease. Its row is committed, and a thread renews it, before it is returned.

    If the lease should have been renewed by now, for example because the process was frozen, it is renewed here first.
    A claim under an expired lease wins nothing, and the steps of the message would have to wait until it is repeated.
    """
    with _lock:
        if _lease.process is not None and time.monotonic() >= _lease.passes_at and not _renew(_lease, _lease.process):
            _tell_lost(_lease.process)
            _end(_lease)
        if _lease.process is None:
            process = uuid7()
            _renew(_lease, process)
            threading.Thread(target=_keep, args=(_lease, process), name="process-lease", daemon=True).start()
            # Last: with a name that has no row, or no thread to renew it, this process could never claim anything.
            _lease.process = process
        return _lease.process


def _tell_lost(process: UUID) -> None:
    """Log that the lease has ended while this process lives, and sound the alarm if that happens again and again."""
    log.warning("lease_lost", extra={"lease": str(process)})
    now = time.monotonic()
    _lost_at.append(now)
    if len(_lost_at) == _lost_at.maxlen and now - _lost_at[0] < _ALARM_SECONDS:
        log.error(
            "leases_lost_repeatedly",
            extra={
                "count": len(_lost_at),
                "host": host(),
                "advice": "another machine may take this one's processes for its own: give each a hostname of its own",
            },
        )


def beat(process: UUID) -> bool:
    """Renew the lease. Return false if it had expired: an expired lease is never renewed."""
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


def hold(held: Iterable[Held]) -> None:
    """Register attempts as performed by this process, until they are let go."""
    _in_hand.update(held)


def let_go(held: Iterable[Held]) -> None:
    """End what `hold` began: the attempts are recorded, or given up."""
    _in_hand.difference_update(held)


def unclaimed(process: UUID) -> set[Held]:
    """Return the running rows under this name that no thread of this process performs. See give_up_unclaimed."""
    return _look(process) - _in_hand


def stopped(held: Held) -> bool:
    """Whether the run of this attempt was stopped, as of the last renewal. Cheap, and safe in any thread."""
    return held in _stopped


def give_up_unclaimed(process: UUID, *, before: set[Held]) -> set[Held]:
    """Give up rows that were unclaimed at the last check (`before`) and still are; return those that are new.

    Such a row comes from a claim whose result was lost with its connection. One check is not enough, because a claim
    may be committed while its result is still on the way.
    """
    now = unclaimed(process)
    lost = sorted(now & before)
    if lost:
        log.warning("claim_answer_lost", extra={"lease": str(process), "count": len(lost)})
        names = ("runs", "items", "steps", "attempts")
        run(leases.GIVE_UP, process=process, **dict(zip(names, columns(lost, len(names)), strict=True)))
    return now - before


def _look(process: UUID) -> set[Held]:
    """Return every row that is running under this name, and remember those whose run was stopped."""
    found: dict[Held, bool] = {
        (row[0], row[1], row[2], row[3]): row[4] for row in run(leases.OWN_RUNNING, process=process)
    }
    _stopped.intersection_update(found)
    _stopped.update(held for held, ended in found.items() if ended)
    return set(found)


def host(proc: Path = Path("/proc")) -> str:
    """Return what makes a pid unique: the host's name and, on Linux, the machine's boot and the pid namespace.

    Each container has a pid namespace of its own. But outside of containers its number is the same on every machine,
    and names are often equal, too: only the boot id, which is random, tells two machines apart.
    """
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append((proc / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
    with suppress(OSError):
        parts.append(str((proc / "self/ns/pid").readlink()))
    return " ".join(parts)


def dead(pids: Iterable[int]) -> list[int]:
    """Return those of this host's pids whose process is gone, or is a zombie."""
    return [pid for pid in pids if not _alive(pid)]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        # The state is the first field after the command, which stands in brackets.
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return state not in ("Z", "X")


def give_up() -> None:
    """Give up the lease, so that the next claim takes a new one: it has expired, and others may have its steps."""
    with _lock:
        _end(_lease)


def _end(lease: _Lease) -> None:
    """Stop renewing this lease. `_lock` is held. A newer lease of this process is left alone."""
    global _lease  # noqa: PLW0603 - as above
    lease.stop.set()
    if _lease is lease:
        _lease = _Lease()


def _keep(lease: _Lease, process: UUID) -> None:
    """Renew the lease every quarter of its time, on this thread's own connection, until it is lost."""
    suspected: set[Held] = set()
    try:
        while not lease.stop.wait(settings.PROCESS_LEASE_SECONDS / 4):
            try:
                suspected = give_up_unclaimed(process, before=suspected)
                if not lease.stop.is_set() and not _renew(lease, process):
                    _tell_lost(process)
                    break
            except Error as error:
                # The database cannot be reached. If the lease expires meanwhile, the next renewal notices.
                log.warning("lease_not_renewed", extra={"lease": str(process), "error": str(error)})
                connection.close()
    finally:
        # However this thread ends: nobody may continue to claim under a lease that nothing renews.
        connection.close()
        with _lock:
            _end(lease)
