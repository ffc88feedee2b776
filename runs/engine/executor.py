"""Take a set of runs through a link: load or claim, perform with no transaction open, record and release."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

from django.db import InterfaceError, OperationalError, connection

from runs.domain.outcomes import NO_STEPS, HeldTicket, Key, Outcome, Recorded, RunFacts
from runs.domain.requests import Preloaded
from runs.engine import attempt as performing
from runs.engine import for_each, lease, record, sub_workflows, tickets, transactional
from runs.engine.parallel import BUDGET_SECONDS, Done, Together
from runs.engine.preload import NONE, loaded, remember_clock
from runs.engine.work import Clock, Work
from runs.planning.plan import Link, Plan
from runs.queries.database import Row
from runs.queries.values import loads

log = logging.getLogger(__name__)

# A row's deadline is this much later than its step's timeout, so that the executor records the timeout itself.
DEADLINE_GRACE_SECONDS = 5
_RECORD_TRIES = 3


def advance(  # noqa: PLR0913 - one argument for each part of a delivery, and a callback
    keys: Sequence[Key],
    *,
    plan: Plan,
    head: str,
    carried: str | None,
    meanwhile: Callable[[Recorded], None],
    preloaded: Mapping[Key, Preloaded] = NONE,
) -> Recorded:
    """Take the runs that have a ticket at `head` through its link, and return what was recorded.

    `carried` is the head that the delivery's chain continues to. `meanwhile` is called with what is recorded while
    other steps of the delivery are still being performed. Inputs that are `preloaded` are not loaded again.
    """
    link = plan.link(head)
    items = [key for key in keys if key[1] >= 0]
    if items and len(items) < len(keys):
        steps = [key for key in keys if key[1] < 0]
        first = advance(steps, plan=plan, head=head, carried=carried, meanwhile=meanwhile)
        return first.joined(advance(items, plan=plan, head=head, carried=carried, meanwhile=meanwhile))
    # A for_each step without an item only evaluates its list; that needs no claim, even if its action is effectful.
    if link.head.inline or (link.head.definition.for_each is not None and not items):
        recorded, suspects = _inline(keys, plan=plan, link=link, carried=carried, preloaded=preloaded)
        if not suspects:
            return recorded
        # A suspect is claimed even if it is pure: then a death in it is noticed, and counted against it alone.
        link, keys = link.alone(), suspects
    else:
        recorded = Recorded()
    return recorded.joined(_effectful(keys, plan=plan, link=link, carried=carried, meanwhile=meanwhile))


def _inline(
    keys: Sequence[Key], *, plan: Plan, link: Link, carried: str | None, preloaded: Mapping[Key, Preloaded]
) -> tuple[Recorded, list[Key]]:
    """Perform and record an inline link; return what was recorded, and the suspects, which are not performed."""
    rows = loaded(keys, preloaded) or _load(keys, plan=plan, link=link)
    suspects = [(row[0], row[1]) for row in rows if row[10]]
    work, held = _ready(rows)
    if keys and keys[0][1] >= 0:
        work = for_each.with_values(work, plan=plan, step=link.head)
    walked = [performing.walk(plan, link, one) for one in work]
    lasts = sub_workflows.resolved([results[-1] for results in walked], work, plan=plan)
    outcomes = [
        Outcome(run=one.run, item=one.item, fence=ticket, results=(*results[:-1], last), steps=one.steps)
        for one, ticket, results, last in zip(work, held, walked, lasts, strict=True)
    ]
    return record.record(outcomes, plan=plan, carried=carried), suspects


def _ready(rows: Sequence[Row]) -> tuple[list[Work], list[HeldTicket]]:
    """Return the work of the rows that are not suspect, and the ticket under which each is to be recorded."""
    work: list[Work] = []
    held: list[HeldTicket] = []
    clock = _clock(rows)
    for row in rows:
        ticket, suspect, attempt, attempts, edited = row[9:]
        if not suspect:
            work.append(_work(row, clock=clock, attempt=(attempt or 0) + 1, attempts=attempts, edited=edited))
            held.append(HeldTicket(ticket, retried=attempt is not None))
    return work, held


def _load(keys: Sequence[Key], *, plan: Plan, link: Link) -> list[Row]:
    if keys and keys[0][1] >= 0:
        return for_each.load(keys, head=link.head.id, reads=())
    reads = link.reads
    if plan.linear and link.follower is None:
        reads |= plan.output_reads - {step.id for step in link.steps}
    found = tickets.load(keys, head=link.head.id, reads=plan.step_ids(reads))
    remember_clock(found)
    return found


def _effectful(
    keys: Sequence[Key], *, plan: Plan, link: Link, carried: str | None, meanwhile: Callable[[Recorded], None]
) -> Recorded:
    """Claim, perform in parallel and record attempts as they end.

    Only the last set of a delivery continues along the chain; steps that the others release get due tickets.
    """
    if link.head.action.transactional:
        return _in_transactions(keys, plan=plan, link=link, carried=carried)
    recorded = Recorded()
    failure: OperationalError | InterfaceError | None = None
    with lease.holding() as take:
        claim = partial(_claim, plan=plan, link=link, take=take)
        for done in Together(keys, link=link, claim=claim).performed():
            try:
                part = _record_done(done, plan=plan, carried=carried if done.last else None)
            except (OperationalError, InterfaceError) as error:
                failure = error  # the sweep takes these up at their deadline; the others are recorded by themselves
                continue
            if not done.last:
                meanwhile(part)
                part = Recorded(won=part.won)
            recorded = recorded.joined(part)
    if failure is not None:
        raise failure
    return recorded


def _record_done(done: Done, *, plan: Plan, carried: str | None) -> Recorded:
    results = sub_workflows.resolved(done.results, done.work, plan=plan)
    outcomes = [performing.claimed(o, r, process=done.process) for o, r in zip(done.work, results, strict=True)]
    return _record_surely(outcomes, plan=plan, carried=carried)


def _in_transactions(keys: Sequence[Key], *, plan: Plan, link: Link, carried: str | None) -> Recorded:
    """Claim, perform and record transactional steps one by one, each with its own deadline.

    After BUDGET_SECONDS the remaining candidates are handed back.
    """
    recorded = Recorded()
    began = time.monotonic()
    for number, key in enumerate(keys):
        if time.monotonic() - began > BUDGET_SECONDS:
            tickets.hand_back(keys[number:], head=link.head.id)
            break
        with lease.holding() as take:
            work, process = _claim([key], plan=plan, link=link, take=take)
            done = transactional.perform(work, plan=plan, step=link.head, process=process, carried=carried)
        recorded = recorded.joined(done)
    return recorded


def _claim(
    keys: Sequence[Key], *, plan: Plan, link: Link, take: Callable[[list[lease.Held]], None]
) -> tuple[list[Work], UUID]:
    """Claim steps; return the work that this process won, and the process name under which it claimed."""
    process = lease.current()
    each = bool(keys) and keys[0][1] >= 0
    take_tickets = for_each.claim if each else tickets.claim
    claimed = take_tickets(
        keys,
        head=link.head.id,
        reads=() if each else plan.step_ids(link.reads),
        process=process,
        timeout_seconds=link.head.timeout_seconds + DEADLINE_GRACE_SECONDS,
    )
    clock = _clock(claimed)
    work = [_work(row, clock=clock, attempt=row[9], attempts=row[10], edited=row[11]) for row in claimed]
    take([(one.run.id, one.item, link.head.id, one.attempt) for one in work])
    return for_each.with_values(work, plan=plan, step=link.head) if each else work, process


def _record_surely(outcomes: Sequence[Outcome], *, plan: Plan, carried: str | None) -> Recorded:
    """Record effectful attempts, and repeat that if a lock or a broken connection prevented it.

    After _RECORD_TRIES the attempts remain `running`, and the sweep takes them up at their deadline.
    """
    recorded = Recorded()
    left = tuple(outcomes)
    for number in range(1, _RECORD_TRIES + 1):
        try:
            recorded = replace(recorded, left=()).joined(record.record(left, plan=plan, carried=carried))
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


def _clock(found: Sequence[Row]) -> Clock:
    """Return one clock for all rows of a statement: the latest of their times, so that no step ends before it began."""
    return Clock(at=datetime.fromtimestamp(max((row[6] for row in found), default=0.0), UTC))


def _work(row: Row, *, clock: Clock, attempt: int, attempts: str | None, edited: str | None) -> Work:
    run_id, item, given, began, generation, steps, _, ending, below = row[:9]
    facts = RunFacts(run_id, loads(given), began, generation, ending, below)
    return Work(
        run=facts,
        item=item,
        steps=loads(steps) or NO_STEPS,
        clock=clock,
        attempt=attempt,
        attempts=loads(attempts) or (),
        edited=loads(edited),
    )
