"""Remember which processes are between picking tickets and sending them, in memory shared by a worker's processes.

A child that is killed in between leaves tickets that count as sent but were not. The main process sees here that the
child was in between, and the sweep sends those tickets at once. Without this they would wait for their repeat, ten
seconds after the pick; tickets that were repeated before still do.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

# One slot for each process, by its pid modulo _PLACES. If two processes share a slot, the later one overwrites it.
_PLACES = 4096
_PLACE = struct.Struct("=I")
_shared = mmap.mmap(-1, _PLACES * _PLACE.size)


@contextmanager
def noted() -> Iterator[None]:
    """Mark this process, while the block runs, as one that picks and sends."""
    place = _place(os.getpid())
    _PLACE.pack_into(_shared, place, os.getpid())
    try:
        yield
    finally:
        _PLACE.pack_into(_shared, place, 0)


def cut_short(pids: Sequence[int]) -> list[int]:
    """Return those of these dead processes that died between picking and sending."""
    return [pid for pid in pids if _PLACE.unpack_from(_shared, _place(pid))[0] == pid]


def forget(pids: Sequence[int]) -> None:
    """Clear the marks of these dead processes, after their tickets were recalled."""
    for pid in cut_short(pids):
        _PLACE.pack_into(_shared, _place(pid), 0)


def _place(pid: int) -> int:
    return pid % _PLACES * _PLACE.size
