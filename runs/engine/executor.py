"""Perform a delivery: take its candidates through their links, walk on while that is quick, leave behind what is slow.

Inline links are loaded, performed and recorded here. Effectful steps are claimed, and performed by threads. Those that
end within QUICK_STEP_MILLISECONDS this delivery records, and claims the steps behind them in the same transaction. The
others it leaves to the recorder (runs.engine.recorder), and returns.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from django.conf import settings
from django.db import Error, OperationalError, connection

from runs.domain.candidates import Candidate, Key
from runs.domain.outcomes import Outcome
from runs.domain.requests import Preloaded
from runs.engine import lease, long_links, record, recorder, tickets, transactional
from runs.engine.inline import Inline
from runs.engine.onward import NOWHERE, Onward, claimed, held
from runs.engine.preload import NONE
from runs.engine.release import NOTHING, Carried
from runs.engine.walker import After, Walker, with_values
from runs.planning.plan import Plan
from runs.planning.steps import Kind

log = logging.getLogger(__name__)

# How long a delivery walks on, and how long while other messages wait for a worker.
BUDGET_SECONDS = 2.0
SHORT_BUDGET_SECONDS = 0.25
# How long a set of inline candidates is performed, if the time of the delivery is over too; the others are handed back.
# Else hundreds of runs of one workspace whose steps compute for long would keep a child from all others.
INLINE_SECONDS = 0.25
# A delivery begins with so many attempts at once. When none has ended for _IDLE_SECONDS, and this process did little
# meanwhile, they wait for other systems, and it doubles their number. Of attempts that wait for nothing, more would
# only wait for each other: Python runs one thread at a time.
_FIRST_WIDTH, _WIDEST = 64, 1024
_IDLE_SECONDS = 0.003
# How often it asks whether they wait.
_CROWDED_SECONDS = 0.05


@dataclass(frozen=True)
class Callbacks:
    """What a delivery calls: `after` with what it has recorded, `behind` with what the recorder has recorded for it.

    `crowded` says whether other messages wait for a worker.
    """

    after: After
    behind: After
    crowded: Callable[[], bool]


@dataclass(frozen=True)
class Delivered:
    """The result of a delivery: the candidates that its chain takes on, and how many had nothing to be done for."""

    handed_on: tuple[Candidate, ...] = ()
    stale: int = 0


def advance(
    candidates: Sequence[Candidate],
    *,
    plan: Plan,
    chain: Sequence[str] = (),
    callbacks: Callbacks,
    preloaded: Mapping[Key, Preloaded] = NONE,
) -> Delivered:
    """Take candidates through their links, as far as that is quick.

    `chain` are the heads to which the message continues. Inputs that are `preloaded` are not loaded again. Raises
    django.db.Error if the database fails or refuses; what could be recorded is recorded then.
    """
    long_links.seen(plan.workspace_id)
    return _Delivery(candidates, plan=plan, chain=chain, callbacks=callbacks, preloaded=preloaded).perform()


def perform_alone(candidate: Candidate, *, plan: Plan, after: After) -> None:
    """Claim a suspect, perform its step with nothing else beside it in this process, and record it.

    It is claimed even if it is pure: then a death in it is noticed, and counted against it alone. For the same reason
    only the head of its link is performed.
    """
    walker = Walker()
    process = lease.current()
    work = with_values(plan, claimed([candidate], plan=plan, process=process, suspect=True))
    mine = [held(head, one) for head, one in work]
    lease.hold(mine)
    try:
        if plan.steps[candidate.head].action.transactional:
            ones = [one for _, one in work]
            step = plan.steps[candidate.head]
            after(transactional.perform(ones, plan=plan, step=step, process=process, onward=NOWHERE))
            return
        walker.begin(plan, work, process=process)
        while walker.under_way.attempts:
            walker.record(walker.under_way.gather(until=walker.under_way.next_end()), walks=False, tell=after)
    finally:
        lease.let_go(mine)


class _Delivery:
    """The work of one message, which shrinks until nothing is left or what is left is slow."""

    def __init__(
        self,
        candidates: Sequence[Candidate],
        *,
        plan: Plan,
        chain: Sequence[str],
        callbacks: Callbacks,
        preloaded: Mapping[Key, Preloaded],
    ) -> None:
        self._plan = plan
        self._chain: Carried = frozenset(chain)
        self._callbacks = callbacks
        self._preloaded = preloaded
        self._began = time.monotonic()
        # When it asks next whether its time is over.
        self._asks_at = self._began + SHORT_BUDGET_SECONDS
        self._is_over = False
        self._width = _FIRST_WIDTH
        self._claimed = False
        self._walker: Walker | None = None
        self._handed_on: list[Candidate] = []
        self._stale = 0
        # What is still to be begun, by the way in which it is performed.
        self._inline: list[Candidate] = []
        self._claimable: dict[bool, list[Candidate]] = {}
        self._transactional: list[Candidate] = []
        for one in candidates:
            self._sort(one)

    def perform(self) -> Delivered:
        """Perform, record and walk on; then let the recorder keep the candidates for which no place was free."""
        failure: Error | None = None
        try:
            while self._left() or self._under_way():
                try:
                    self._round()
                except Error as error:
                    # Nothing more is begun; but what is under way is recorded nevertheless, if it can be.
                    failure = error
                    # A session whose prepared statements the server, or a pooler, does not know must not stay. One that
                    # broke is replaced before the next message.
                    if not isinstance(error, OperationalError) and not connection.in_atomic_block:
                        connection.close()
                    self._inline, self._claimable, self._transactional = [], {}, []
                    self._is_over, self._asks_at = True, float("inf")
        finally:
            if self._walker is not None:
                # Whatever was raised: somebody must see to what is under way.
                left, self._walker.under_way.attempts = self._walker.under_way.attempts, set()
                recorder.current().take(left, after=self._callbacks.behind) if left else None
        if failure is not None:
            raise failure
        return Delivered(tuple(self._handed_on), self._stale)

    def _sort(self, one: Candidate) -> None:
        kind = self._plan.steps[one.head].kind(one.item)
        if kind is Kind.INLINE:
            self._inline.append(one)
        elif kind is Kind.TRANSACTIONAL:
            self._transactional.append(one)
        else:
            self._claimable.setdefault(one.item >= 0, []).append(one)

    def _left(self) -> bool:
        """Whether anything is still to be begun."""
        return bool(self._inline or self._claimable or self._transactional)

    def _under_way(self) -> bool:
        return self._walker is not None and bool(self._walker.under_way.attempts)

    def _round(self) -> None:
        if self._inline:
            inline, self._inline = self._inline, []
            self._in_turn(inline, self._perform_inline)
        self._claim()
        if self._under_way():
            self._record_ended(self._own_walker())
        elif self._claimable:
            self._keep()
        elif self._transactional and not self._inline:
            waiting, self._transactional = self._transactional, []
            self._in_turn(waiting, self._perform_transactional)

    def _in_turn(self, candidates: Sequence[Candidate], perform: Callable[[Sequence[Candidate]], None]) -> None:
        """Perform candidates in this thread, or leave them to other children (runs.engine.long_links)."""
        if not long_links.begin(self._plan.workspace_id):
            tickets.hand_back(candidates, least_seconds=recorder.HAND_BACK_SECONDS)
            return
        try:
            perform(candidates)
        finally:
            long_links.end()

    # -- inline links -------------------------------------------------------------------------------------------------

    def _perform_inline(self, candidates: Sequence[Candidate]) -> None:
        """Load, perform and record candidates at inline heads."""
        preloaded, self._preloaded = self._preloaded, NONE
        is_late = self._late_from(time.monotonic() + INLINE_SECONDS)
        performed = Inline(self._plan, is_late=is_late)
        outcomes = performed.outcomes(candidates, preloaded=preloaded)
        self._stale += len(candidates) - len(outcomes) - len(performed.left)
        if performed.left:
            # Before the record: whoever takes them need not wait for it.
            tickets.hand_back(performed.left)
        if not outcomes:
            return
        walks, last = not self._over(), not (self._left() or self._under_way())
        onward = self._onward(outcomes, walks=walks, carried=self._carried(walks=walks, last=last))
        try:
            recorded = record.record(outcomes, plan=self._plan, onward=onward, is_late=is_late)
        except BaseException:
            if onward.places:
                self._own_walker().give_up(onward)
            raise
        if recorded.left and is_late():
            tickets.hand_back([outcome.candidate for outcome in recorded.left])
        self._callbacks.after(recorded)
        self._note(recorded.handed_on, walks=walks)
        if onward.places:
            self._own_walker().start_claimed(onward, plan=self._plan)

    def _onward(self, outcomes: Sequence[Outcome], *, walks: bool, carried: Carried) -> Onward:
        """Return what the record takes further: the effectful steps behind, if there are any, and carried tickets."""
        if walks and any(map(self._plan.claims_after, {o.last.step for o in outcomes if o.item < 0})):
            return self._own_walker().onward(len(outcomes), plan=self._plan, carried=carried)
        return Onward(carried) if carried else NOWHERE

    # -- effectful steps ----------------------------------------------------------------------------------------------

    def _claim(self) -> None:
        """Claim candidates: as many as there are free places, but no more at once than keep this process busy.

        When the time of the delivery is over, hand back the others: they are due at once.
        """
        if self._claimed and self._claimable and self._over():
            late, self._claimable = self._claimable, {}
            for waiting in late.values():
                tickets.hand_back(waiting)
            return
        self._claimed = True
        for items, candidates in list(self._claimable.items()):
            walker = self._own_walker()
            most = max(0, self._width - len(walker.under_way.attempts))
            left, won = walker.claim(candidates, plan=self._plan, most=most)
            self._stale += len(candidates) - len(left) - won
            if left:
                self._claimable[items] = list(left)
            else:
                del self._claimable[items]

    def _record_ended(self, walker: Walker) -> None:
        """Wait for attempts of this delivery to end; leave the slow ones behind; record the others, and walk on."""
        quick = settings.QUICK_STEP_MILLISECONDS / 1000
        widens = bool(self._claimable) and self._width < _WIDEST
        began, spent = time.monotonic(), time.process_time()
        ended = walker.gather(within=quick, at_most=_IDLE_SECONDS if widens else quick)
        if widens and not ended and time.process_time() - spent < (time.monotonic() - began) / 2:
            # The threads wait for other systems, and not for each other: there is time for more attempts.
            self._width *= 2
        slow = walker.slower_than(quick)
        if slow:
            recorder.current().take(slow, after=self._callbacks.behind)
        if not ended:
            return
        walks, last = not self._over(), not (self._left() or self._under_way())
        carried = self._carried(walks=walks, last=last)
        handed_on = walker.record(ended, walks=walks, tell=self._callbacks.after, carried=carried)
        self._note(handed_on, walks=walks)

    def _keep(self) -> None:
        """Let the recorder keep the candidates for which no place is free, or hand them back."""
        kept, self._claimable = self._claimable, {}
        for candidates in kept.values():
            recorder.current().keep(candidates, plan=self._plan, after=self._callbacks.behind)

    # -- transactional steps ------------------------------------------------------------------------------------------

    def _perform_transactional(self, candidates: Sequence[Candidate]) -> None:
        """Claim, perform and record the first one, with its own deadline; after the budget, hand all back."""
        began = time.monotonic()
        if began - self._began > BUDGET_SECONDS:
            tickets.hand_back(candidates)
            return
        one, *self._transactional = candidates
        process = lease.current()
        work = with_values(self._plan, claimed([one], plan=self._plan, process=process))
        self._stale += not work
        mine = [held(head, each) for head, each in work]
        lease.hold(mine)
        try:
            onward = Onward(self._carried(walks=False, last=not self._left()))
            ones, step = [each for _, each in work], self._plan.steps[one.head]
            recorded = transactional.perform(ones, plan=self._plan, step=step, process=process, onward=onward)
        finally:
            lease.let_go(mine)
            long_links.took(self._plan.workspace_id, time.monotonic() - began)
        self._callbacks.after(recorded)
        self._note(recorded.handed_on, walks=False)

    # -- what they share ----------------------------------------------------------------------------------------------

    def _own_walker(self) -> Walker:
        if self._walker is None:
            self._walker = Walker()
        return self._walker

    def _carried(self, *, walks: bool, last: bool) -> Carried:
        """Return the heads whose tickets are written as sent: inline ones, which this delivery performs while it walks,
        and those of the chain, if nothing else is left to do: else their runs would have to wait for that.
        """
        found = self._plan.inline_heads if walks else NOTHING
        return found | self._chain if last else found

    def _note(self, handed_on: Sequence[Candidate], *, walks: bool) -> None:
        """Sort the tickets that were written as sent: what this delivery performs next, and what its chain takes on."""
        for one in handed_on:
            mine = walks and one.head in self._plan.inline_heads
            (self._inline if mine else self._handed_on).append(one)

    def _late_from(self, moment: float) -> Callable[[], bool]:
        """Return a function that says whether this moment, and the time of the delivery, are over."""
        return lambda: time.monotonic() >= moment and self._over()

    def _over(self) -> bool:
        """Whether the time in which this delivery walks on is over; it stays so."""
        now = time.monotonic()
        if now >= self._asks_at:
            self._asks_at = now + _CROWDED_SECONDS
            self._is_over = self._is_over or now - self._began >= BUDGET_SECONDS or self._callbacks.crowded()
        return self._is_over
