"""Notice a worker child whose interpreter hangs: a thread in each child writes the time, and the parent reads it.

An attempt that holds Python's global lock for good stops every thread of its child. Its message may have ended long
ago, so no hard limit of Celery ends that child; its parent does, once the child's thread has not written for longer
than a lease.
"""

from __future__ import annotations

import logging
import mmap
import os
import signal
import struct
import threading
import time
from collections.abc import Iterable

from django.conf import settings

from runs.engine import long_links

log = logging.getLogger(__name__)

_SECONDS = 0.5
_AGAIN_SECONDS = 3 * _SECONDS
# One slot for each process, by its pid modulo _PLACES: its pid, and a time of the monotonic clock, which all processes
# of a machine share.
_PLACES = 4096
_PLACE = struct.Struct("=Id")
_shared = mmap.mmap(-1, _PLACES * _PLACE.size)


def begin() -> None:
    """Start the thread that writes this process's pulse."""
    _write(os.getpid())
    threading.Thread(target=_beat, args=(os.getpid(),), name="pulse", daemon=True).start()


class Pulses:
    """What the parent has seen of its children."""

    def __init__(self) -> None:
        # The late pulse of each child, and when it was first found late.
        self._late: dict[int, tuple[float, float]] = {}

    def end_hanging(self, pids: Iterable[int]) -> list[int]:
        """Kill those of these children whose pulse has stopped for longer than a lease; return their pids.

        A pulse must be found late twice, _AGAIN_SECONDS apart: after a pause of the whole machine, all pulses are late.
        """
        now = time.monotonic()
        late = {pid: at for pid in pids if (at := _read(pid)) and now - at > settings.PROCESS_LEASE_SECONDS}
        seen = {
            pid: known if (known := self._late.get(pid)) and known[0] == at else (at, now) for pid, at in late.items()
        }
        hanging = [pid for pid, (_, since) in seen.items() if now - since >= _AGAIN_SECONDS]
        self._late = seen
        for pid in hanging:
            log.error("child_hangs", extra={"pid": pid, "seconds": round(now - late[pid], 1)})
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        return hanging


def _beat(pid: int) -> None:
    while True:
        time.sleep(_SECONDS)
        _write(pid)
        long_links.beat()


def _write(pid: int) -> None:
    _PLACE.pack_into(_shared, pid % _PLACES * _PLACE.size, pid, time.monotonic())


def _read(pid: int) -> float:
    """Return the time of a child's last pulse; 0 if it has none yet."""
    written, at = _PLACE.unpack_from(_shared, pid % _PLACES * _PLACE.size)
    return float(at) if written == pid else 0.0
