"""Remember which processes are between picking tickets and sending them, in memory shared by a worker's processes.

A child that is killed in between leaves tickets that count as sent but were not. The main process sees here that the
child was in between, and the sweep sends those tickets at once. Without this they would wait for their repeat, ten
seconds after the pick; tickets that were repeated before still do.
"""

from __future__ import annotations

import mmap
import os
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

# One slot for each process, by its pid modulo _PLACES. If two processes share a slot, the later one overwrites it.
_PLACES = 4096
_PLACE = struct.Struct("=I")
_shared = mmap.mmap(-1, _PLACES * _PLACE.size)


class _Inside:
    """How many threads of this process are inside a block: a delivery and the recorder may dispatch at once."""

    def __init__(self) -> None:
        self.threads = 0
        self.lock = threading.Lock()


_inside = _Inside()


def _forget() -> None:
    global _inside  # noqa: PLW0603 - threads of the parent do not exist in a forked child
    _inside = _Inside()


os.register_at_fork(after_in_child=_forget)


@contextmanager
def noted() -> Iterator[None]:
    """Mark this process, while the block runs in any of its threads, as one that picks and sends."""
    place = _place(os.getpid())
    with _inside.lock:
        _inside.threads += 1
        _PLACE.pack_into(_shared, place, os.getpid())
    try:
        yield
    finally:
        with _inside.lock:
            _inside.threads -= 1
            if not _inside.threads:
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
