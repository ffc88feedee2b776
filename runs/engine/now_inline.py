"""What each worker child performs in its own thread at this moment, in memory shared with the worker's main process.

The main process sees here that a child still computes for a run that was stopped long ago (runs.maintenance.burning).
Nothing else does: an inline step has no row before it is recorded.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from typing import NamedTuple
from uuid import UUID

# One slot for each process, by its pid modulo _PLACES. If two processes share a slot, the later one overwrites it.
_PLACES = 4096
_PLACE = struct.Struct("=Iqd16s16s")
_shared = mmap.mmap(-1, _PLACES * _PLACE.size)
_NOTHING = bytes(16)


class NowInline(NamedTuple):
    """The ticket of a link that is performed, since when, by the machine's monotonic clock, its run and workspace."""

    ticket: int
    since: float
    run_id: UUID
    workspace_id: UUID | None


class _Own:
    """The slot of this process. A class, because a forked child has another one."""

    pid = os.getpid()
    at = os.getpid() % _PLACES * _PLACE.size


def _forget() -> None:
    _Own.pid = os.getpid()
    _Own.at = _Own.pid % _PLACES * _PLACE.size


os.register_at_fork(after_in_child=_forget)


def begin(ticket: int, run_id: UUID, workspace_id: UUID | None = None) -> float:
    """Note that this process begins to perform the link of this ticket; return the time."""
    since = time.monotonic()
    workspace = _NOTHING if workspace_id is None else workspace_id.bytes
    _PLACE.pack_into(_shared, _Own.at, _Own.pid, ticket, since, run_id.bytes, workspace)
    return since


def end() -> None:
    """Note that this process performs no link any more."""
    _PLACE.pack_into(_shared, _Own.at, _Own.pid, 0, 0.0, _NOTHING, _NOTHING)


def of(pid: int) -> NowInline | None:
    """Return what this process performs now; None if it performs no link."""
    written, ticket, since, run_id, workspace = _PLACE.unpack_from(_shared, pid % _PLACES * _PLACE.size)
    if written != pid or not ticket:
        return None
    return NowInline(ticket, since, UUID(bytes=run_id), None if workspace == _NOTHING else UUID(bytes=workspace))
