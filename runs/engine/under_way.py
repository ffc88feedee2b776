"""Attempts under way: performed by threads of the pool, and handed over in sets as they end."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from actions import expressions
from actions.base import Retryable
from runs.domain.outcomes import StepResult
from runs.engine import attempt as performing
from runs.engine import journal, lease, thread_pool
from runs.engine.failure import Tried, failed
from runs.engine.turns import Turn
from runs.engine.work import Work
from runs.planning.plan import Plan
from runs.planning.steps import PlannedStep

# An attempt that ends this soon after another one is recorded together with it, and the first of them waits for the
# others no longer than MOST_GATHER_SECONDS.
GATHER_SECONDS = 0.002
MOST_GATHER_SECONDS = 0.01


@dataclass(eq=False)
class Attempt:
    """An attempt under way. `began` and `ends`, its timeout, are times of the monotonic clock."""

    plan: Plan
    step: PlannedStep
    work: Work
    process: UUID
    began: float
    ends: float
    inbox: queue.SimpleQueue[Attempt | None]
    job: thread_pool.Job = field(init=False)
    result: StepResult | None = None

    def perform(self) -> None:
        """Make the attempt, and keep its result."""
        try:
            with expressions.in_turn(Turn(self.plan.workspace_id)):
                result = performing.attempt(self.step, self.work)
        except BaseException as error:  # even sys.exit() in an action must not end the thread without a result
            result = failed(self.step, self.work, error, Tried(self.work.clock.at))
        self.settle()
        self.result = result

    def settle(self) -> None:
        """Let what the attempt told be written, before its record ends its fence."""
        journal.settle((self.work.run.id, self.work.item, self.step.id, self.work.attempt))

    def tell(self) -> None:
        """Put the attempt into the inbox of its owner, which may have changed meanwhile."""
        self.inbox.put(self)


class UnderWay:
    """The attempts of one owner, a delivery or the recorder. An attempt that has ended arrives in the owner's inbox."""

    def __init__(self) -> None:
        self.inbox: queue.SimpleQueue[Attempt | None] = queue.SimpleQueue()
        self.attempts: set[Attempt] = set()
        self._threads = thread_pool.current()

    def start(self, plan: Plan, claimed: Sequence[tuple[str, Work]], *, process: UUID) -> None:
        """Begin attempts at claimed steps, for which places are reserved.

        Raises RuntimeError if the system has no thread left; the steps that were not begun are given up then.
        """
        began = time.monotonic()
        for number, (head, work) in enumerate(claimed):
            step = plan.steps[head]
            one = Attempt(plan, step, work, process, began, began + step.timeout_seconds, self.inbox)
            try:
                one.job = self._threads.start(one.perform, then=one.tell, workspace=plan.workspace_id)
            except RuntimeError:
                left = claimed[number:]
                self._threads.give_back(len(left), workspace=plan.workspace_id)
                lease.let_go((each.run.id, each.item, head, each.attempt) for head, each in left)
                raise
            self.attempts.add(one)

    def take_over(self, attempts: Iterable[Attempt]) -> None:
        """Become the owner of attempts whose owner has stopped waiting for them. Call it in the new owner's thread."""
        for one in attempts:
            self.attempts.add(one)
            one.inbox = self.inbox
            if one.result is not None:
                # It may have ended before the inbox was changed. If it arrives twice, the second one is ignored.
                self.inbox.put(one)

    def gather(self, *, until: float) -> list[Attempt]:
        """Wait for the next attempt to end, at most until a time of the monotonic clock.

        Return it with those that follow, each within GATHER_SECONDS after the one before, and with those that are
        overdue.
        """
        ended: list[Attempt] = []
        latest = until
        while self.attempts or not ended:
            try:
                one = self.inbox.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                break
            if one is None:
                until = 0.0  # the owner was woken: it takes what has ended by now
                continue
            if one not in self.attempts:
                continue  # it was handed over twice, or ended just as it was given up as overdue
            self.attempts.remove(one)
            now = time.monotonic()
            if not ended:
                latest = min(until, now + MOST_GATHER_SECONDS)
            until = min(latest, now + GATHER_SECONDS)
            ended.append(one)
        return ended + self._overdue()

    def next_end(self) -> float:
        """Return when the next attempt is overdue, by the monotonic clock; infinity without attempts."""
        return min((one.ends for one in self.attempts), default=float("inf"))

    def older_than(self, seconds: float) -> list[Attempt]:
        """Remove the attempts that began longer ago than this, and return them."""
        before = time.monotonic() - seconds
        found = [one for one in self.attempts if one.began <= before]
        self.attempts.difference_update(found)
        return found

    def _overdue(self) -> list[Attempt]:
        """Abandon the attempts that have outlasted their timeout, and return them as timed out.

        One that has ended meanwhile keeps its result, however late its owner looks.
        """
        now = time.monotonic()
        found = [one for one in self.attempts if one.ends <= now]
        for one in found:
            if one.result is None:
                self._threads.abandon(one.job)
                one.settle()
                one.result = _timed_out(one.step, one.work)
        self.attempts.difference_update(found)
        return found


def _timed_out(step: PlannedStep, work: Work) -> StepResult:
    seconds = step.timeout_seconds
    error = Retryable(f"step {step.id!r} did not end within its timeout of {seconds:g} s", kind="timeout")
    return failed(step, work, error, Tried(work.clock.at, outcome="timed_out", reason="timed_out"))


def by_owner(ended: Sequence[Attempt]) -> list[list[Attempt]]:
    """Group attempts by version, process name (which changes if the lease is lost), and whether they are of items."""
    groups: dict[tuple[UUID, UUID, bool], list[Attempt]] = {}
    for one in ended:
        groups.setdefault((one.plan.version_id, one.process, one.work.item >= 0), []).append(one)
    return list(groups.values())
