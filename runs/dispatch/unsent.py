"""Who has picked tickets and not sent them yet, in memory that a worker's main process shares with its children.

A child that is killed in between leaves tickets that count as sent: without this, to the repeat, ten seconds later
(for those that were repeated already, still).
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

# One place for each process, by its number; of two in the same place the later one is known.
_PLACES = 4096
_PLACE = struct.Struct("=I")
_shared = mmap.mmap(-1, _PLACES * _PLACE.size)


@contextmanager
def noted() -> Iterator[None]:
    """While this process picks and sends."""
    place = _place(os.getpid())
    _PLACE.pack_into(_shared, place, os.getpid())
    try:
        yield
    finally:
        _PLACE.pack_into(_shared, place, 0)


def cut_short(pids: Sequence[int]) -> list[int]:
    """Those of these processes, which are gone, that were in the middle of it."""
    return [pid for pid in pids if _PLACE.unpack_from(_shared, _place(pid))[0] == pid]


def forget(pids: Sequence[int]) -> None:
    """What they had picked is seen to."""
    for pid in cut_short(pids):
        _PLACE.pack_into(_shared, _place(pid), 0)


def _place(pid: int) -> int:
    return pid % _PLACES * _PLACE.size
