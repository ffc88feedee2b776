"""The recorder: one thread of a process, which records the attempts that deliveries left behind, and walks on.

It has a database connection of its own. It also keeps candidates for which no place was free, for up to a second, and
claims them as places become free.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import Error, connection

from runs.domain.candidates import Candidate
from runs.engine import tickets
from runs.engine.under_way import Attempt
from runs.engine.walker import After, Walker
from runs.planning.plan import Plan

log = logging.getLogger(__name__)

# How long candidates are kept for a place, and how many at most, of one workspace and of all; and the least delay with
# which others are handed back.
_KEEP_SECONDS = 1.0
_MOST_KEPT, _MOST_KEPT_OF_ALL = 400, 1600
HAND_BACK_SECONDS = 0.05
# How often the recorder looks whether a place has become free.
_LOOK_SECONDS = 0.05
# An idle recorder closes its connection after this time.
_IDLE_SECONDS = 2.0


@dataclass(eq=False)
class _Kept:
    """Candidates of a version that wait for a place until a time of the monotonic clock."""

    until: float
    plan: Plan
    left: Sequence[Candidate]


class Recorder:
    """The recorder of this process. Its methods are for other threads; `after` is called after each record."""

    def __init__(self) -> None:
        self._walker = Walker()
        self._lock = threading.Lock()
        self._given: list[Attempt] = []
        self._kept: list[_Kept] = []
        self._after: After = _nothing
        self._draining = False
        self._busy = False
        self._thread: threading.Thread | None = None
        self._idle = threading.Event()
        self._idle.set()

    def take(self, attempts: Iterable[Attempt], *, after: After) -> None:
        """Take over attempts that a delivery leaves behind."""
        attempts = list(attempts)
        if not attempts:
            return
        with self._lock:
            self._after = after
            self._given += attempts
            self._idle.clear()
        self._wake()

    def keep(self, candidates: Sequence[Candidate], *, plan: Plan, after: After) -> None:
        """Keep candidates until a place is free for them, or for a second; hand back those that are too many."""
        with self._lock:
            room = 0 if self._draining else self._room(plan.workspace_id)
            kept = candidates[: max(0, room)]
            if kept:
                self._after = after
                self._kept.append(_Kept(time.monotonic() + _KEEP_SECONDS, plan, kept))
                self._idle.clear()
        if kept:
            self._wake()
        tickets.hand_back(candidates[len(kept) :], least_seconds=HAND_BACK_SECONDS)

    def drain(self, *, until: float) -> int:
        """Claim nothing any more, and wait until what is under way is recorded, at most until this monotonic time.

        Return the number of attempts that are left; the sweep takes them up when the lease of this process has ended.
        """
        with self._lock:
            self._draining = True
        self._wake()
        self._idle.wait(max(0.0, until - time.monotonic()))
        return len(self._walker.under_way.attempts)

    @property
    def draining(self) -> bool:
        """Whether `drain` was called: this process is to end."""
        return self._draining

    @property
    def idle(self) -> bool:
        """Whether nothing is under way and nothing is kept."""
        return self._idle.is_set()

    def _wake(self) -> None:
        with self._lock:
            if not self._busy:
                thread = threading.Thread(target=self._serve, name="recorder", daemon=True)
                thread.start()
                self._thread, self._busy = thread, True
        self._walker.under_way.inbox.put(None)

    def _serve(self) -> None:
        """Record until nothing has been left for _IDLE_SECONDS."""
        quiet_since = time.monotonic()
        while True:
            self._receive()
            try:
                self._round()
            except Error as error:
                log.warning("recorder_failed", extra={"error": str(error)})
                connection.close()
            except Exception:
                log.exception("recorder_failed")
                connection.close()
            now = time.monotonic()
            if self._walker.under_way.attempts or self._kept:
                quiet_since = now
            elif self._rests(long=now - quiet_since >= _IDLE_SECONDS):
                return

    def _receive(self) -> None:
        with self._lock:
            given, self._given = self._given, []
        self._walker.under_way.take_over(given)

    def _round(self) -> None:
        """Wait for attempts to end, record them and walk on; then claim what was kept, as far as places are free."""
        walker = self._walker
        until = min(walker.next_look(), time.monotonic() + (_LOOK_SECONDS if self._kept else _IDLE_SECONDS))
        ended = walker.under_way.gather(until=until)
        walker.let_slow_step_aside()
        if ended:
            walker.record(ended, walks=not self._draining, tell=self._after)
        self._claim_kept()

    def _room(self, workspace: UUID | None) -> int:
        """Return how many more candidates of a workspace are kept; 0 or less if it, or all together, have too many."""
        mine = sum(len(one.left) for one in self._kept if one.plan.workspace_id == workspace)
        return min(_MOST_KEPT - mine, _MOST_KEPT_OF_ALL - sum(len(one.left) for one in self._kept))

    def _claim_kept(self) -> None:
        """Claim candidates that are kept, the longest kept first; hand back those whose time is over.

        Where no place is free for the candidates of one workspace, there may be one for those of another behind them.
        """
        for one in list(self._kept):
            over = self._draining or time.monotonic() >= one.until
            if not self._draining:
                one.left, _ = self._walker.claim(one.left, plan=one.plan)
            if one.left and not over:
                continue
            with self._lock:
                self._kept.remove(one)
            tickets.hand_back(one.left, least_seconds=0.0 if self._draining else HAND_BACK_SECONDS)

    def _rests(self, *, long: bool) -> bool:
        """Note that nothing is left, unless something was given meanwhile. Return whether the thread is to end."""
        with self._lock:
            if self._given or self._kept:
                return False
            self._idle.set()
            if not long:
                return False
            self._busy = False
        connection.close()
        return True


def _nothing(_: object) -> None:
    """Called after records until a delivery has said what else is to be done."""


class _Process:
    """The recorder of this process. A forked child starts without one, because threads do not survive a fork."""

    recorder: Recorder | None = None
    lock = threading.Lock()


def _forget() -> None:
    _Process.recorder = None
    _Process.lock = threading.Lock()


os.register_at_fork(after_in_child=_forget)


def current() -> Recorder:
    """Return the recorder of this process; it is made at the first call."""
    with _Process.lock:
        if _Process.recorder is None:
            _Process.recorder = Recorder()
        return _Process.recorder


def existing() -> Recorder | None:
    """Return the recorder of this process; None if no delivery has left anything behind yet."""
    return _Process.recorder
