"""Claim effectful steps, perform them in threads, record them in sets as they end, and walk on to the steps behind."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from uuid import UUID

from django.db import InterfaceError, OperationalError, connection

from runs.domain.candidates import Candidate
from runs.domain.outcomes import Outcome, Recorded
from runs.engine import attempt as performing
from runs.engine import for_each, lease, record, sub_workflows, thread_pool
from runs.engine.onward import Onward, claimed, held
from runs.engine.release import NOTHING, Carried
from runs.engine.under_way import Attempt, UnderWay, by_owner
from runs.engine.work import Work
from runs.planning.plan import Plan

log = logging.getLogger(__name__)

_RECORD_TRIES = 3

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
        places = self._threads.reserve(len(candidates) if most is None else min(most, len(candidates)))
        if not places:
            return candidates, 0
        work: list[tuple[str, Work]] = []
        try:
            process = lease.current()
            found = claimed(candidates[:places], plan=plan, process=process)
            lease.hold(held(head, one) for head, one in found)
            work = with_values(plan, found)
        finally:
            self._threads.give_back(places - len(work))
        self.under_way.start(plan, work, process=process)
        return candidates[places:], len(work)

    def begin(self, plan: Plan, work: Sequence[tuple[str, Work]], *, process: UUID) -> None:
        """Start claimed work in a process that does nothing else."""
        self._threads.give_back(self._threads.reserve(len(work)) - len(work))
        self.under_way.start(plan, work, process=process)

    def gather(self, *, within: float, at_most: float) -> list[Attempt]:
        """Wait for attempts to end, until the oldest has been under way for `within` seconds; see UnderWay.gather.

        Wait no longer than `at_most` seconds.
        """
        until = min(min(one.began for one in self.under_way.attempts) + within, time.monotonic() + at_most)
        return self.under_way.gather(until=min(until, self.under_way.next_end()))

    def slower_than(self, seconds: float) -> list[Attempt]:
        """Stop waiting for the attempts that have been under way for longer, and return them."""
        slow = self.under_way.older_than(seconds)
        for one in slow:
            self._threads.step_aside(one.job)
        return slow

    def record(self, ended: Sequence[Attempt], *, walks: bool, carried: Carried = NOTHING) -> Recorded:
        """Record attempts that have ended. With `walks`, claim and start the steps behind them, as far as places allow.

        The tickets of heads that are `carried` are written as sent. Attempts that the database did not accept are left
        to the sweep, which takes them up at their deadline; the others are recorded, and then the error is raised.
        """
        recorded: Recorded | None = None
        failure: OperationalError | InterfaceError | None = None
        for group in by_owner(ended):
            try:
                part = self._record(group, walks=walks, carried=carried)
                recorded = part if recorded is None else recorded.joined(part)
            except (OperationalError, InterfaceError) as error:
                failure = error
            finally:
                lease.let_go(held(one.step.id, one.work) for one in group)
        if failure is not None:
            raise failure
        return recorded or Recorded()

    def onward(self, most: int, *, carried: Carried) -> Onward:
        """Reserve places for up to `most` next steps. `start_claimed` must be called after the record."""
        places = self._threads.reserve(most)
        try:
            return Onward(carried, process=lease.current() if places else None, places=places)
        except BaseException:
            self._threads.give_back(places)
            raise

    def start_claimed(self, onward: Onward, *, plan: Plan) -> None:
        """Start what a record claimed, and give back the places that it did not need."""
        started = 0
        try:
            if onward.claimed:
                work = onward.complete(plan)
                started = len(work)
        finally:
            self._threads.give_back(onward.places - started)
        if started:
            assert onward.process is not None  # noqa: S101 - claimed for it
            self.under_way.start(plan, work, process=onward.process)

    def _record(self, group: Sequence[Attempt], *, walks: bool, carried: Carried) -> Recorded:
        plan, process = group[0].plan, group[0].process
        results = [one.result for one in group if one.result is not None]
        work = [one.work for one in group]
        resolved = sub_workflows.resolved(results, work, plan=plan)
        outcomes = [performing.claimed(o, r, process=process) for o, r in zip(work, resolved, strict=True)]
        walks = walks and group[0].work.item < 0 and any(map(plan.claims_after, {one.step.id for one in group}))
        onward = self.onward(len(group), carried=carried) if walks else Onward(carried)
        try:
            return _record_surely(outcomes, plan=plan, onward=onward)
        finally:
            self.start_claimed(onward, plan=plan)


def with_values(plan: Plan, work: Sequence[tuple[str, Work]]) -> list[tuple[str, Work]]:
    """Return the work with the values of items; work that is not of items as it is."""
    if not work or work[0][1].item < 0:
        return list(work)
    heads: dict[str, list[Work]] = {}
    for head, one in work:
        heads.setdefault(head, []).append(one)
    return [
        (head, one)
        for head, group in heads.items()
        for one in for_each.with_values(group, plan=plan, step=plan.steps[head])
    ]


def _record_surely(outcomes: Sequence[Outcome], *, plan: Plan, onward: Onward) -> Recorded:
    """Record effectful attempts, and repeat that if a lock or a broken connection prevented it.

    After _RECORD_TRIES the attempts remain `running`, and the sweep takes them up at their deadline.
    """
    recorded = Recorded()
    left = tuple(outcomes)
    for number in range(1, _RECORD_TRIES + 1):
        try:
            part = record.record(left, plan=plan, onward=onward)
            recorded = part if number == 1 else replace(recorded, left=()).joined(part)
        except (OperationalError, InterfaceError):
            if number == _RECORD_TRIES:
                raise
            connection.close()
        else:
            left = recorded.left
            if not left:
                break
        log.warning("record_repeated", extra={"number": number, "count": len(left)})
        time.sleep(0.2 * number)  # a restarting server needs some time; a thread renews the lease meanwhile
    return recorded
