"""Turns at expressions that take long, of the threads in which a process performs effectful steps.

Python executes one thread at a time. If fifty threads computed at once, the child's own thread would get every fiftieth
slice, and everything that it delivers would take fifty times as long. So one of them computes at a time, and the others
wait: in turn between workspaces, a moment each.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from uuid import UUID

# A thread that has had the turn for this long gives it to one of another workspace that waits for it.
_MOMENT_SECONDS = 0.05


class Turn:
    """One attempt's turns. For its thread only, which calls `take` before each part, and `give_back` after the last."""

    def __init__(self, workspace: UUID | None) -> None:
        self.workspace = workspace
        self.since = 0.0
        # Made when it is needed: most attempts never take a turn, and this takes longer than the rest.
        self._mine: threading.Event | None = None

    def take(self) -> None:
        """Wait for the turn; if it has been this one's for a moment, let those of other workspaces go first."""
        if self._mine is None:
            self._mine = threading.Event()
        if _Process.turns.ask(self):
            self._mine.wait()
            self._mine.clear()

    def give_back(self) -> None:
        """Let the next one go on."""
        _Process.turns.pass_on(self)

    def begin(self) -> None:
        """Called for a turn that waits, when it is this one's."""
        self.since = time.monotonic()
        if self._mine is not None:
            self._mine.set()


class _Turns:
    """Who computes, and who waits, by workspace."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now: Turn | None = None
        self._waiting: dict[UUID | None, deque[Turn]] = {}

    def ask(self, turn: Turn) -> bool:
        """Whether this turn has to wait."""
        if self._now is turn and time.monotonic() - turn.since < _MOMENT_SECONDS:
            return False
        with self._lock:
            if self._now is turn:
                if not self._waiting.keys() - {turn.workspace}:
                    return False
                self._waiting.setdefault(turn.workspace, deque()).appendleft(turn)
                # Its own workspace comes after those that have waited.
                self._waiting[turn.workspace] = self._waiting.pop(turn.workspace)
                self._next()
            elif self._now is None:
                self._now, turn.since = turn, time.monotonic()
                return False
            else:
                self._waiting.setdefault(turn.workspace, deque()).append(turn)
            return True

    def pass_on(self, turn: Turn) -> None:
        """Let the next one begin, if it was this one's turn."""
        with self._lock:
            if self._now is turn:
                self._next()

    def _next(self) -> None:
        """Begin with the workspace that has waited for the longest; it is the last one after that."""
        workspace = next(iter(self._waiting), None)
        queue = self._waiting.pop(workspace, None)
        self._now = queue.popleft() if queue else None
        if queue:
            self._waiting[workspace] = queue
        if self._now is not None:
            self._now.begin()


class _Process:
    """The turns of this process. A forked child has its own: threads do not survive a fork."""

    turns = _Turns()


def _forget() -> None:
    _Process.turns = _Turns()


os.register_at_fork(after_in_child=_forget)
