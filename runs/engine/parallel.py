"""Perform a delivery's effectful candidates, as many at once as there are threads, and hand over what ended as it ends.

A message carries candidates, not work: they are claimed as threads become free. What takes long is waited for alone:
its neighbours are handed over, to be recorded, within some 50 ms of their end. After about a second nothing more is
claimed, so that the last attempt ends within its step's timeout and that second.
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
# What ends so soon after another is recorded together with it.
GATHER_SECONDS = 0.05

Claim = Callable[[Sequence[Key]], tuple[list[Work], UUID]]


@dataclass(frozen=True)
class Done:
    """Attempts that have ended, as they are to be recorded; `last`: nothing of the delivery is left."""

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
    """One delivery's candidates at one link. `claim` takes keys and answers what this process won of them."""

    def __init__(self, keys: Sequence[Key], *, link: Link, claim: Claim) -> None:
        self._left = list(keys)
        self._link = link
        self._claim = claim
        self._until = time.monotonic() + BUDGET_SECONDS
        self._under_way: dict[int, _UnderWay] = {}
        self._answers: queue.SimpleQueue[tuple[int, StepResult]] = queue.SimpleQueue()
        self._threads = thread_pool.current()
        self._started = 0
        self._claimed = False

    def performed(self) -> Iterator[Done]:
        """All that is won, each attempt once. Where the database fails a claim, what is under way is answered first.

        Raises OperationalError and InterfaceError after that.
        """
        failure: OperationalError | InterfaceError | None = None
        try:
            while self._under_way or self._left:
                ended = self._gather() if self._under_way else []
                try:
                    # First, so that the threads have work while the others' end is recorded.
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
        """Claim what there are free threads for, and start it; hand the rest back when the time for that is over."""
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
        answers, step = self._answers, self._link.head

        found: list[StepResult] = []

        def attempt() -> None:
            try:
                found.append(performing.attempt(step, work))
            except BaseException as error:  # sys.exit() in an action must not end the thread without an answer
                found.append(failed(step, work, error, Tried(work.clock.at)))

        job = self._threads.start(attempt, then=lambda: answers.put((number, found[0])))
        self._under_way[number] = _UnderWay(work, process, job, ends)

    def _gather(self) -> list[tuple[_UnderWay, StepResult]]:
        """The next to end, with those that end soon after it, and those whose time is over.

        Nothing where the budget is over first and there are candidates to hand back.
        """
        ended: list[tuple[_UnderWay, StepResult]] = []
        until = min(one.ends for one in self._under_way.values())
        if self._left:
            # Then what was not claimed is handed back, however long the rest takes.
            until = min(until, self._until)
        while self._under_way:
            try:
                number, result = self._answers.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                break
            one = self._under_way.pop(number, None)
            if one is None:
                continue  # it ended in the moment in which it was given up
            if not ended:
                until = min(until, time.monotonic() + GATHER_SECONDS)
            ended.append((one, result))
        return ended + self._overdue()

    def _overdue(self) -> list[tuple[_UnderWay, StepResult]]:
        """Give up the attempts whose time is over."""
        ended: list[tuple[_UnderWay, StepResult]] = []
        now = time.monotonic()
        for number, one in list(self._under_way.items()):
            if one.ends <= now:
                self._threads.abandon(one.job)
                ended.append((self._under_way.pop(number), _timed_out(self._link, one.work)))
        return ended


def _done(ended: Sequence[tuple[_UnderWay, StepResult]], *, last: bool) -> Iterator[Done]:
    """What ended together, apart by the process name under which it was claimed: its lease may have changed."""
    for process in dict.fromkeys(one.process for one, _ in ended):
        mine = [(one.work, result) for one, result in ended if one.process == process]
        yield Done([work for work, _ in mine], [result for _, result in mine], process, last)


def _timed_out(link: Link, work: Work) -> StepResult:
    seconds = link.head.timeout_seconds
    error = Retryable(f"step {link.head.id!r} did not end within its timeout of {seconds:g} s", kind="timeout")
    tried = Tried(work.clock.at, outcome="timed_out", reason="timed_out")
    return failed(link.head, work, error, tried)
