"""Take runs through a link: load or claim, perform with no transaction open, record and release."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import orjson
from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, connections

from actions.base import Retryable
from runs import children, items, lease, perform, same_database, transitions
from runs.database import Row
from runs.names import RunFacts
from runs.outcomes import HeldTicket, Key, Outcome, Recorded, StepResult
from runs.perform import Clock, Work
from runs.plan import Link, Plan

log = logging.getLogger(__name__)

# After this long a delivery hands back the candidates that it has not claimed yet.
SLICE_BUDGET_SECONDS = 1.0
# The executor answers at the timeout; the row's deadline lets it.
DEADLINE_GRACE_SECONDS = 5
_RECORD_TRIES = 3


def advance(keys: Sequence[Key], *, plan: Plan, head: str, carried: str | None) -> Recorded:
    """Take the runs that have a ticket at this head through its link; answers those won and those handed on."""
    link = plan.link(head)
    single = [key for key in keys if key[1] >= 0]
    if single and len(single) < len(keys):
        steps = [key for key in keys if key[1] < 0]
        first = advance(steps, plan=plan, head=head, carried=carried)
        return first.joined(advance(single, plan=plan, head=head, carried=carried))
    # A for_each begins by its list, which is no more than an expression.
    if link.head.inline or (link.head.definition.for_each is not None and not single):
        return _inline(keys, plan=plan, link=link, carried=carried)
    return _effectful(keys, plan=plan, link=link, carried=carried)


def _inline(keys: Sequence[Key], *, plan: Plan, link: Link, carried: str | None) -> Recorded:
    reads = link.reads
    if plan.linear and link.follower is None:
        reads |= plan.output_reads - {step.id for step in link.steps}
    each = bool(keys) and keys[0][1] >= 0
    load = items.load if each else transitions.load
    found = load(keys, head=link.head.id, reads=() if each else plan.step_ids(reads))
    ready: list[tuple[Work, int]] = []
    suspects = [(row[0], row[1]) for row in found if row[9]]
    for row in found:
        ticket, suspect, attempt, attempts, edited = row[8:]
        if suspect:
            continue
        work = replace(
            _work(row),
            attempt=(attempt or 0) + 1,
            attempts=_json(attempts) or [],
            edited=_json(edited),
        )
        ready.append((work, ticket))
    if each:
        furnished = items.furnished([work for work, _ in ready], plan=plan, step=link.head)
        ready = [(work, ticket) for work, (_, ticket) in zip(furnished, ready, strict=True)]
    walked = [(work, ticket, perform.walk(plan, link, work)) for work, ticket in ready]
    lasts = children.resolved([results[-1] for _, _, results in walked], [work for work, _, _ in walked], plan=plan)
    outcomes = [
        Outcome(run=work.run, item=work.item, fence=HeldTicket(ticket), results=(*results[:-1], last), steps=work.steps)
        for (work, ticket, results), last in zip(walked, lasts, strict=True)
    ]
    recorded = transitions.record(outcomes, plan=plan, carried=carried)
    # A suspect is claimed even though it is pure, so that a death in it is seen, and counted against it alone.
    return recorded.joined(_effectful(suspects, plan=plan, link=link.alone(), carried=carried))


def _effectful(keys: Sequence[Key], *, plan: Plan, link: Link, carried: str | None) -> Recorded:
    """Claim, perform and record in slices as wide as they are performed at once; hand back what takes too long."""
    recorded = Recorded()
    # In a transaction each has its own deadline, one after the other.
    width = 1 if link.head.action.transactional else settings.EFFECTFUL_BATCH_RUNS
    began = time.monotonic()
    for start in range(0, len(keys), width):
        if time.monotonic() - began > SLICE_BUDGET_SECONDS:
            transitions.hand_back(keys[start:], head=link.head.id)
            break
        with lease.holding() as take:
            some = keys[start : start + width]
            if link.head.action.transactional:
                work, process = _claim(some, plan=plan, link=link, take=take)
                done = same_database.perform(work, plan=plan, step=link.head, process=process, carried=carried)
            else:
                done = _record_surely(_slice(some, plan=plan, link=link, take=take), plan=plan, carried=carried)
            recorded = recorded.joined(done)
    return recorded


def _slice(keys: Sequence[Key], *, plan: Plan, link: Link, take: Callable[[list[lease.Held]], None]) -> list[Outcome]:
    work, process = _claim(keys, plan=plan, link=link, take=take)
    results = children.resolved(_together(link, work), work, plan=plan)
    return [perform.claimed(one, result, process=process) for one, result in zip(work, results, strict=True)]


def _claim(
    keys: Sequence[Key], *, plan: Plan, link: Link, take: Callable[[list[lease.Held]], None]
) -> tuple[list[Work], UUID]:
    """What this process won of the keys, and the name under which it did."""
    process = lease.current()
    each = bool(keys) and keys[0][1] >= 0
    take_tickets = items.claim if each else transitions.claim
    claimed = take_tickets(
        keys,
        head=link.head.id,
        reads=() if each else plan.step_ids(link.reads),
        process=process,
        timeout_seconds=link.head.timeout_seconds + DEADLINE_GRACE_SECONDS,
    )
    work = [replace(_work(row), attempt=row[8], attempts=_json(row[9]), edited=_json(row[10])) for row in claimed]
    take([(one.run.id, one.item, link.head.id, one.attempt) for one in work])
    return items.furnished(work, plan=plan, step=link.head) if each else work, process


def _together(link: Link, work: Sequence[Work]) -> list[StepResult]:
    """Every attempt in a thread of its own; one that outlasts the step's timeout is answered for, and left behind.

    The threads are daemons: Python cannot end them, so a stuck one must hold up neither its slice nor a shutdown.
    """
    answers: queue.SimpleQueue[tuple[int, StepResult]] = queue.SimpleQueue()

    def one(index: int) -> None:
        try:
            result = perform.attempt(link.head, work[index])
        except BaseException as error:  # sys.exit() in an action ends its thread; the step must not wait for ever
            result = perform.failed(link.head, work[index], error, perform.Tried(work[index].clock.at))
        finally:
            # An action that used Django's connections did so on connections of this thread's own.
            connections.close_all()
        answers.put((index, result))

    for index in range(len(work)):
        threading.Thread(target=one, args=(index,), name=f"step-{link.head.id}", daemon=True).start()
    results: dict[int, StepResult] = {}
    ends = time.monotonic() + link.head.timeout_seconds
    while len(results) < len(work):
        try:
            index, result = answers.get(timeout=max(0.0, ends - time.monotonic()))
        except queue.Empty:
            break
        results[index] = result
    return [results.get(index) or _timed_out(link, one) for index, one in enumerate(work)]


def _timed_out(link: Link, work: Work) -> StepResult:
    seconds = link.head.timeout_seconds
    error = Retryable(f"step {link.head.id!r} did not end within its timeout of {seconds:g} s", kind="timeout")
    tried = perform.Tried(work.clock.at, outcome="timed_out", reason="timed_out")
    return perform.failed(link.head, work, error, tried)


def _record_surely(outcomes: Sequence[Outcome], *, plan: Plan, carried: str | None) -> Recorded:
    """Record what was done outside, again where a lock kept it out, over a new connection where the old one broke.

    What still is not recorded is left to the step's deadline.
    """
    recorded = Recorded()
    left = tuple(outcomes)
    for number in range(1, _RECORD_TRIES + 1):
        try:
            recorded = replace(recorded, left=()).joined(transitions.record(left, plan=plan, carried=carried))
        except (OperationalError, InterfaceError):
            if number == _RECORD_TRIES:
                raise
            connection.close()
        else:
            left = recorded.left
            if not left:
                break
        log.warning("record_repeated", extra={"number": number, "count": len(left)})
        time.sleep(0.2 * number)  # a server that restarts needs a moment; the lease runs meanwhile
    return recorded


def _work(row: Row) -> Work:
    run_id, item, given, started_at, generation, steps, at, ending = row[:8]
    facts = RunFacts(
        id=run_id, input=_json(given), started_at=perform.moment(started_at), generation=generation, outcome=ending
    )
    return Work(run=facts, item=item, steps=_json(steps) or {}, clock=Clock(at=at))


def _json(value: Any) -> Any:
    return orjson.loads(value) if value is not None else None
