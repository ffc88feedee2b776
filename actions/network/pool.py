"""The connections of this process that wait for another request to their server."""

from __future__ import annotations

import threading
import time

from actions.network.connection import Connection

IDLE_SECONDS = 5.0


class Pool:
    """Up to `most` idle connections, to all servers together, each for 5 seconds.

    The one that was used last is used first, so that those that a quiet time needs no more grow old and are closed.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._lock = threading.Lock()
        # By origin; in the order in which they became idle, the oldest first.
        self._idle: dict[str, list[Connection]] = {}
        self._count = 0
        self._looked_at = 0.0

    def take(self, origin: str) -> Connection | None:
        """Return an idle connection to this server, which from now on belongs to the caller; None if there is none."""
        with self._lock:
            kept = self._idle.get(origin)
            if not kept or time.monotonic() - kept[-1].idle_since > IDLE_SECONDS:
                return None
            self._count -= 1
            return kept.pop()

    def give(self, connection: Connection) -> None:
        """Keep a connection that is idle from now on, and close those that are too many, or too old (once a second)."""
        now = connection.idle_since = time.monotonic()
        with self._lock:
            self._idle.setdefault(connection.origin, []).append(connection)
            self._count += 1
            if self._count <= self.most and now - self._looked_at < 1:
                return
            self._looked_at = now
            surplus = self._take_surplus(now)
        for one in surplus:
            one.close()

    def clear(self) -> None:
        """Close all idle connections."""
        with self._lock:
            closing = [one for kept in self._idle.values() for one in kept]
            self._idle.clear()
            self._count = 0
        for one in closing:
            one.close()

    def abandon(self) -> None:
        """Close all idle connections in a forked child; a thread of the parent may have held the lock."""
        for kept in self._idle.values():
            for one in kept:
                one.abandon()

    def _take_surplus(self, now: float) -> list[Connection]:
        """Remove the connections that are too old, and the oldest of the others as far as they are too many."""
        by_age = sorted((one for kept in self._idle.values() for one in kept), key=lambda one: one.idle_since)
        surplus = [
            one for at, one in enumerate(by_age) if len(by_age) - at > self.most or now - one.idle_since > IDLE_SECONDS
        ]
        for one in surplus:
            self._idle[one.origin].remove(one)
        self._idle = {origin: kept for origin, kept in self._idle.items() if kept}
        self._count -= len(surplus)
        return surplus
