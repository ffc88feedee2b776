"""Keep one child of a worker free of steps that compute for long, while several workspaces have work.

Nothing can interrupt a link: until it ends, the child that performs it is lost to all others. So the links of a
workspace whose links have lately taken long are performed by all children but one. The last one hands them back, and
performs what the others have to do. Which workspaces these are, and who had work lately, stands in memory that the
children of a worker share. Those that are busy so are counted by locks of the kernel on an unnamed file: these end with
the process that holds them, however it dies.

With one child, and without a pool (runs.worker.polling), nothing is handed back: somebody must perform the links.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import tempfile
import threading
import time
from uuid import UUID

from runs.engine import now_inline

# A link that takes this long is a long one.
LONG_SECONDS = 0.1
# For how many times as long its workspace is known for it. So one that spends less than a tenth of its time in long
# links is not held back all the time.
_KNOWN_TIMES = 10
# A workspace still has work if it had a message this long ago.
_LATELY_SECONDS = 60.0
# The number of children; then the last two workspaces that had a message, and when; then one slot for each workspace
# that is known, by its id modulo _SLOTS, and until when. If two share a slot, the later one overwrites it. Times are
# those of the monotonic clock, which all processes of a machine share.
_CHILDREN = struct.Struct("=q")
_SLOT = struct.Struct("=16sd")
_SLOTS = 512
_LAST, _OTHER, _FIRST_SLOT = (_CHILDREN.size + number * _SLOT.size for number in range(3))
_shared = mmap.mmap(-1, _FIRST_SLOT + _SLOTS * _SLOT.size)
_NOBODY = bytes(16)
# What a process holds that performs links without a lock.
_NO_LOCK = -1


def _unnamed_file() -> int:
    """Return the descriptor of a file that is open for as long as this process, and its children, live."""
    if hasattr(os, "memfd_create"):  # on Linux: needs no directory that can be written to
        return os.memfd_create("long-links")
    return os.dup(tempfile.TemporaryFile().fileno())


_locks = _unnamed_file()


class _Own:
    """What this process holds: a lock, _NO_LOCK, or None while it performs no links. Two threads may change it."""

    held: int | None = None
    guard = threading.Lock()


def _forget() -> None:
    """A forked child performs nothing yet, and has none of its parent's locks."""
    _Own.held, _Own.guard = None, threading.Lock()


os.register_at_fork(after_in_child=_forget)


def seen(workspace: UUID | None) -> None:
    """Note that a workspace has work."""
    mine, last = _bytes(workspace), _SLOT.unpack_from(_shared, _LAST)
    if last[0] != mine:
        _SLOT.pack_into(_shared, _OTHER, *last)
    _SLOT.pack_into(_shared, _LAST, mine, time.monotonic())


def begin(workspace: UUID | None) -> bool:
    """Whether this process may perform links of a workspace now, up to `end`; else it must leave them to others.

    For the one thread of a process that performs links.
    """
    mine = _bytes(workspace)
    known, until = _SLOT.unpack_from(_shared, _slot(mine))
    if known != mine or (now := time.monotonic()) >= until or not _others(mine, since=now - _LATELY_SECONDS):
        _Own.held = _NO_LOCK
    else:
        _Own.held = _lock()
    return _Own.held is not None


def end() -> None:
    """Note that this process performs no links any more."""
    with _Own.guard:
        if _Own.held is not None and _Own.held != _NO_LOCK:
            fcntl.lockf(_locks, fcntl.LOCK_UN, 1, _Own.held)
        _Own.held = None


def took(workspace: UUID | None, seconds: float) -> None:
    """Note how long a link of a workspace took, or has taken by now.

    If this process performs it without a lock, because nobody knew that it takes long, it takes one now, if it can.
    """
    if seconds < LONG_SECONDS:
        return
    with _Own.guard:
        if _Own.held == _NO_LOCK and (lock := _lock()) is not None:
            _Own.held = lock
    mine, until = _bytes(workspace), time.monotonic() + _KNOWN_TIMES * seconds
    known, before = _SLOT.unpack_from(_shared, _slot(mine))
    _SLOT.pack_into(_shared, _slot(mine), mine, max(until, before) if known == mine else until)


def beat() -> None:
    """Note how long this process's link has taken by now. For another thread than the one that performs it."""
    if (one := now_inline.of(os.getpid())) is not None:
        took(one.workspace_id, time.monotonic() - one.since)


def count(children: int) -> None:
    """Note how many children there are. For a worker's main process."""
    _CHILDREN.pack_into(_shared, 0, children)


def _others(mine: bytes, *, since: float) -> bool:
    """Whether another workspace has had work since this time."""
    last, at = _SLOT.unpack_from(_shared, _LAST)
    other, before = (last, at) if last != mine else _SLOT.unpack_from(_shared, _OTHER)
    return bool(other != mine and before > max(since, 0.0))


def _lock() -> int | None:
    """Take one of the locks, and return it: _NO_LOCK if there are none, None if others have them all."""
    (children,) = _CHILDREN.unpack_from(_shared, 0)
    return _NO_LOCK if children < 2 else next((lock for lock in range(children - 1) if _locked(lock)), None)


def _locked(lock: int) -> bool:
    """Whether this process got this lock."""
    try:
        fcntl.lockf(_locks, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, lock)
    except OSError:
        return False
    return True


def _slot(workspace: bytes) -> int:
    return _FIRST_SLOT + int.from_bytes(workspace[-4:], "big") % _SLOTS * _SLOT.size


def _bytes(workspace: UUID | None) -> bytes:
    return _NOBODY if workspace is None else workspace.bytes
