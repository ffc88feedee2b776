"""End worker children that still compute for a run that was stopped: nothing that they find out would be recorded."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Iterable

from runs.engine import lease, now_inline
from runs.engine.now_inline import NowInline
from runs.queries import leases, stops
from runs.queries.database import run

log = logging.getLogger(__name__)

# A link that takes less than this is left alone, whatever became of its run: to replace a child takes longer.
SECONDS = 3.0
# How long it is known of a pid that it was ended: its death is noticed much earlier.
_KNOWN_SECONDS = 120.0


class Burning:
    """Looks after the children of one worker. For its sweep's thread only."""

    def __init__(self) -> None:
        self._ended: dict[int, float] = {}

    @property
    def ended(self) -> frozenset[int]:
        """The pids that this worker has ended lately. What else they had in hand is not to blame for their death."""
        return frozenset(self._ended)

    def end(self, pids: Iterable[int]) -> list[int]:
        """Kill those of these children whose link has taken SECONDS, and whose run was stopped; return their pids.

        Costs no statement while no link takes that long. The attempts that such a child has under way beside it are
        given up first, so that they do not count as lost.
        """
        now = time.monotonic()
        self._ended = {pid: at for pid, at in self._ended.items() if now - at < _KNOWN_SECONDS}
        slow = {pid: one for pid in pids if (one := now_inline.of(pid)) and now - one.since >= SECONDS}
        if not slow:
            return []
        over = {row[0] for row in run(stops.OVER, tickets=[one.ticket for one in slow.values()], runs=_runs(slow))}
        return [pid for pid, one in slow.items() if one.ticket in over and self._end(pid, one)]

    def _end(self, pid: int, one: NowInline) -> bool:
        if now_inline.of(pid) != one:
            return False  # it has come to its end meanwhile
        log.error("child_burns", extra={"pid": pid, "run_id": str(one.run_id)})
        self._ended[pid] = time.monotonic()
        run(leases.RELEASE, host=lease.host(), pid=pid)
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True


def _runs(slow: dict[int, NowInline]) -> list[object]:
    return [one.run_id for one in slow.values()]
