"""Claim effectful steps, perform them in threads, record them in sets as they end, and walk on to the steps behind."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from uuid import UUID

from django.conf import settings
from django.db import Error, connection

from runs.domain.candidates import Candidate
from runs.domain.outcomes import Outcome, Recorded
from runs.engine import attempt as performing
from runs.engine import for_each, lease, record, sub_workflows, thread_pool
from runs.engine.onward import Onward, claimed, held
from runs.engine.release import NOTHING, Carried
from runs.engine.under_way import Attempt, UnderWay, by_owner
from runs.engine.variables import with_variables
from runs.engine.work import Work
from runs.planning.plan import Plan

log = logging.getLogger(__name__)

# How often an outcome that a lock kept out is recorded again, and the longest pause before a repeated record.
_RECORD_TRIES = 3
_MOST_PAUSE_SECONDS = 1.0

After = Callable[[Recorded], None]


class Walker:
    """What a delivery and the recorder have in common. Each has its own, in its own thread."""

    def __init__(self) -> None:
        self.under_way = UnderWay()
        self._threads = thread_pool.current()

    def claim(
        self, candidates: Sequence[Candidate], *, plan: Plan, most: int | None = None
    ) -> tuple[Sequence[Candidate], int]:
        """Claim and start as many candidates as there are free places, up to `most`.

        Return the candidates for which no place was free, and how many were won. The candidates are all items of
        for_each steps, or none is.
        """
        workspace = plan.workspace_id
        wanted = len(candidates) if most is None else min(most, len(candidates))
        places = self._threads.reserve(wanted, workspace=workspace)
        if not places:
            return candidates, 0
        found: list[tuple[str, Work]] = []
        try:
            process = lease.current()
            found = claimed(candidates[:places], plan=plan, process=process)
            lease.hold(held(head, one) for head, one in found)
            work = with_values(plan, found)
        except BaseException:
            self._threads.give_back(places, workspace=workspace)
            # What is claimed and not begun is given up at the second look of the lease's thread.
            lease.let_go(held(head, one) for head, one in found)
            raise
        self._threads.give_back(places - len(work), workspace=workspace)
        self.under_way.start(plan, work, process=process)
        return candidates[places:], len(work)

    def begin(self, plan: Plan, work: Sequence[tuple[str, Work]], *, process: UUID) -> None:
        """Start claimed work in a process that does nothing else."""
        workspace = plan.workspace_id
        self._threads.give_back(self._threads.reserve(len(work), workspace=workspace) - len(work), workspace=workspace)
        self.under_way.start(plan, work, process=process)

    def gather(self, *, within: float, at_most: float) -> list[Attempt]:
        """Wait for attempts to end, until the oldest has been under way for `within` seconds; see UnderWay.gather.

        Wait no longer than `at_most` seconds.
        """
        until = min(min(one.began for one in self.under_way.attempts) + within, time.monotonic() + at_most)
        return self.under_way.gather(until=min(until, self.under_way.next_end()))

    def next_look(self) -> float:
        """Return when the next attempt is overdue, or turns out to be slow, by the monotonic clock."""
        now, quick = time.monotonic(), _quick_seconds()
        slow_at = [one.began + quick for one in self.under_way.attempts]
        return min([self.under_way.next_end(), *(at for at in slow_at if at > now)])

    def let_slow_step_aside(self) -> None:
        """Let slow attempts give their places to others, as far as there is room for them."""
        before = time.monotonic() - _quick_seconds()
        for one in self.under_way.attempts:
            if one.began <= before:
                self._threads.step_aside(one.job)

    def slower_than(self, seconds: float) -> list[Attempt]:
        """Stop waiting for the attempts that have been under way for longer, and return them."""
        slow = self.under_way.older_than(seconds)
        for one in slow:
            self._threads.step_aside(one.job)
        return slow

    def record(
        self, ended: Sequence[Attempt], *, walks: bool, tell: After, carried: Carried = NOTHING
    ) -> tuple[Candidate, ...]:
        """Record attempts that have ended. With `walks`, claim and start the steps behind them, as far as places allow.

        `tell` is called with what was recorded. The tickets of heads that are `carried` are written as sent, and are
        returned. Attempts that the database did not accept are left to the sweep, which takes them up at their
        deadline; the others are recorded and told, and then the first error is raised.
        """
        recorded: Recorded | None = None
        failures: list[Exception] = []
        for group in by_owner(ended):
            try:
                part, failure = self._record(group, walks=walks, carried=carried)
                recorded = part if recorded is None else recorded.joined(part)
                failures += [failure] if failure is not None else []
            except Exception as error:
                failures.append(error)
            finally:
                lease.let_go(held(one.step.id, one.work) for one in group)
        if recorded is not None:
            tell(recorded)
        if failures:
            raise failures[0]
        return recorded.handed_on if recorded is not None else ()

    def onward(self, most: int, *, plan: Plan, carried: Carried) -> Onward:
        """Reserve places for up to `most` next steps. `start_claimed` must be called after the record."""
        workspace = plan.workspace_id
        places = self._threads.reserve(most, workspace=workspace)
        try:
            return Onward(carried, lease.current() if places else None, places, workspace)
        except BaseException:
            self._threads.give_back(places, workspace=workspace)
            raise

    def start_claimed(self, onward: Onward, *, plan: Plan) -> None:
        """Start what a record claimed, and give back the places that it did not need."""
        try:
            work = with_variables(onward.complete(plan), plan=plan)
        except BaseException:
            self.give_up(onward)
            raise
        self._threads.give_back(onward.places - len(work), workspace=onward.workspace)
        if work:
            assert onward.process is not None  # noqa: S101 - claimed for it
            self.under_way.start(plan, work, process=onward.process)

    def give_up(self, onward: Onward) -> None:
        """Give back the places, and let go what was claimed: nobody performs it. The lease's thread gives that up."""
        self._threads.give_back(onward.places, workspace=onward.workspace)
        lease.let_go(held(head, one) for head, one in onward.claimed)

    def _record(self, group: Sequence[Attempt], *, walks: bool, carried: Carried) -> tuple[Recorded, Exception | None]:
        """Record attempts of one version and process; return that, and the error if the next steps could not begin."""
        plan, process = group[0].plan, group[0].process
        results = [one.result for one in group if one.result is not None]
        work = [one.work for one in group]
        resolved = sub_workflows.resolved(results, work, plan=plan)
        outcomes = [performing.claimed(o, r, process=process) for o, r in zip(work, resolved, strict=True)]
        walks = walks and group[0].work.item < 0 and any(map(plan.claims_after, {one.step.id for one in group}))
        onward = self.onward(len(group), plan=plan, carried=carried) if walks else Onward(carried)
        try:
            recorded = _record_surely(outcomes, plan=plan, onward=onward)
        except BaseException:
            self.give_up(onward)
            raise
        try:
            self.start_claimed(onward, plan=plan)
        except Exception as error:
            return recorded, error
        return recorded, None


def _quick_seconds() -> float:
    return float(settings.QUICK_STEP_MILLISECONDS / 1000)


def with_values(plan: Plan, work: Sequence[tuple[str, Work]]) -> list[tuple[str, Work]]:
    """Return the work with the variables that it reads, and with the values of items, if it is of items."""
    work = with_variables(work, plan=plan)
    if not work or work[0][1].item < 0:
        return work
    heads: dict[str, list[Work]] = {}
    for head, one in work:
        heads.setdefault(head, []).append(one)
    return [
        (head, one)
        for head, group in heads.items()
        for one in for_each.with_values(group, plan=plan, step=plan.steps[head])
    ]


def _record_surely(outcomes: Sequence[Outcome], *, plan: Plan, onward: Onward) -> Recorded:
    """Record effectful attempts; repeat that if a lock, a broken connection or a refusal of the server prevented it.

    A database that is away or read-only, or whose schema a deploy is changing, is asked again for half of a lease: the
    lease ends soon after, and others repeat the steps. What could not be recorded by then is given up.
    """
    recorded = Recorded()
    left = tuple(outcomes)
    until = time.monotonic() + settings.PROCESS_LEASE_SECONDS / 2
    for number in itertools.count(1):
        try:
            part = record.record(left, plan=plan, onward=onward)
            recorded = part if number == 1 else replace(recorded, left=()).joined(part)
        except Error as error:
            if time.monotonic() >= until:
                raise
            log.warning("record_refused", extra={"number": number, "count": len(left), "error": str(error)})
            connection.close()
        else:
            left = recorded.left
            if not left or number >= _RECORD_TRIES:
                break
            log.warning("record_repeated", extra={"number": number, "count": len(left)})
        # A restarting server needs some time; a thread renews the lease meanwhile.
        time.sleep(min(0.2 * number, _MOST_PAUSE_SECONDS))
    return recorded
