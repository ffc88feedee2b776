"""Perform the effectful candidates of a delivery in parallel threads, and hand results over in sets as attempts end.

A message names candidates, not work: they are claimed as threads become free. A slow attempt does not hold back its
neighbours: those are handed over, to be recorded, at most some 50 ms after they have ended. After about a second
nothing more is claimed; so the last attempt ends at most that second and its step's timeout after the start.
"""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import InterfaceError, OperationalError

from actions.base import Retryable
from runs.domain.outcomes import Key, StepResult
from runs.engine import attempt as performing
from runs.engine import thread_pool, tickets
from runs.engine.failure import Tried, failed
from runs.engine.work import Work
from runs.planning.plan import Link

log = logging.getLogger(__name__)

# After this long a delivery hands back the candidates that it has not claimed yet.
BUDGET_SECONDS = 1.0
# Attempts that end this soon after another one are recorded together with it.
GATHER_SECONDS = 0.05

Claim = Callable[[Sequence[Key]], tuple[list[Work], UUID]]


@dataclass(frozen=True)
class Done:
    """Attempts that have ended, to be recorded together. `last`: no attempt or candidate of the delivery is left."""

    work: list[Work]
    results: list[StepResult]
    process: UUID
    last: bool


@dataclass(frozen=True)
class _UnderWay:
    work: Work
    process: UUID
    job: thread_pool.Job
    ends: float


class Together:
    """One delivery's candidates at one link. `claim` claims keys; it returns the work won and the process name."""

    def __init__(self, keys: Sequence[Key], *, link: Link, claim: Claim) -> None:
        self._left = list(keys)
        self._link = link
        self._claim = claim
        self._until = time.monotonic() + BUDGET_SECONDS
        self._under_way: dict[int, _UnderWay] = {}
        self._results: queue.SimpleQueue[tuple[int, StepResult]] = queue.SimpleQueue()
        self._threads = thread_pool.current()
        self._started = 0
        self._claimed = False

    def performed(self) -> Iterator[Done]:
        """Claim and perform the candidates; yield each attempt once, after it has ended.

        If the database fails a claim, nothing more is claimed, and OperationalError or InterfaceError is raised once
        all attempts under way have been yielded.
        """
        failure: OperationalError | InterfaceError | None = None
        try:
            while self._under_way or self._left:
                ended = self._gather() if self._under_way else []
                try:
                    # Before the yield, so that threads are busy while the caller records.
                    self._begin()
                except (OperationalError, InterfaceError) as error:
                    failure, self._left = error, []
                last = not self._under_way and not self._left and failure is None
                yield from _done(ended, last=last)
        finally:
            for one in self._under_way.values():
                self._threads.abandon(one.job)
        if failure is not None:
            raise failure

    def _begin(self) -> None:
        """Claim and start as many candidates as there are free threads; hand back the rest once the budget is over."""
        if not self._left:
            return
        left = self._until - time.monotonic()
        wait = 0.0 if self._under_way else max(0.0, left)
        slots = 0 if left <= 0 and self._claimed else self._threads.reserve(len(self._left), wait_seconds=wait)
        if not slots:
            if left <= 0:
                tickets.hand_back(self._left, head=self._link.head.id)
                self._left = []
            return
        some, self._left = self._left[:slots], self._left[slots:]
        ends = time.monotonic() + self._link.head.timeout_seconds
        self._claimed = True
        try:
            work, process = self._claim(some)
        except BaseException:
            self._threads.give_back(slots)
            raise
        self._threads.give_back(slots - len(work))
        for one in work:
            self._start(one, process=process, ends=ends)

    def _start(self, work: Work, *, process: UUID, ends: float) -> None:
        number = self._started
        self._started += 1
        results, step = self._results, self._link.head
        result: list[StepResult] = []

        def attempt() -> None:
            try:
                result.append(performing.attempt(step, work))
            except BaseException as error:  # even sys.exit() in an action must not end the thread without a result
                result.append(failed(step, work, error, Tried(work.clock.at)))

        job = self._threads.start(attempt, then=lambda: results.put((number, result[0])))
        self._under_way[number] = _UnderWay(work, process, job, ends)

    def _gather(self) -> list[tuple[_UnderWay, StepResult]]:
        """Wait for the next attempt to end; return it with those that end within GATHER_SECONDS, and with overdue ones.

        Return nothing if the budget is over first and there are candidates to hand back.
        """
        ended: list[tuple[_UnderWay, StepResult]] = []
        until = min(one.ends for one in self._under_way.values())
        if self._left:
            # Candidates must be handed back at the end of the budget, even if attempts are still under way.
            until = min(until, self._until)
        while self._under_way:
            try:
                number, result = self._results.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                break
            one = self._under_way.pop(number, None)
            if one is None:
                continue  # it ended just as it was given up as overdue
            if not ended:
                until = min(until, time.monotonic() + GATHER_SECONDS)
            ended.append((one, result))
        return ended + self._overdue()

    def _overdue(self) -> list[tuple[_UnderWay, StepResult]]:
        """Abandon the attempts that have outlasted their timeout, and return them as timed out."""
        ended: list[tuple[_UnderWay, StepResult]] = []
        now = time.monotonic()
        for number, one in list(self._under_way.items()):
            if one.ends <= now:
                self._threads.abandon(one.job)
                ended.append((self._under_way.pop(number), _timed_out(self._link, one.work)))
        return ended


def _done(ended: Sequence[tuple[_UnderWay, StepResult]], *, last: bool) -> Iterator[Done]:
    """Group attempts by the process name under which they were claimed: it changes if the lease is lost meanwhile."""
    for process in dict.fromkeys(one.process for one, _ in ended):
        mine = [(one.work, result) for one, result in ended if one.process == process]
        yield Done([work for work, _ in mine], [result for _, result in mine], process, last)


def _timed_out(link: Link, work: Work) -> StepResult:
    seconds = link.head.timeout_seconds
    error = Retryable(f"step {link.head.id!r} did not end within its timeout of {seconds:g} s", kind="timeout")
    tried = Tried(work.clock.at, outcome="timed_out", reason="timed_out")
    return failed(link.head, work, error, tried)
