"""Take delivery of a knock: advance its runs, tell what came of it, and refill the window."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from runs.dispatch import dispatcher
from runs.dispatch.compiler import decode, encode
from runs.domain.outcomes import Key, Recorded
from runs.domain.requests import Fresh
from runs.engine import executor, for_each, record, sub_workflows
from runs.engine.preload import NONE, unpack
from runs.planning import plan as plans
from runs.planning.plan import Plan
from workflows.models import Version

log = logging.getLogger(__name__)

_TOLD_ALONE = 3


def deliver(
    texts: Sequence[str], *, version_id: UUID, head: str, carried: str | None, fresh: Sequence[Any] = ()
) -> list[str]:
    """Answers the keys to hand on along the chain, encoded; empty when none was won.

    A message that this code cannot make sense of is logged and ignored: the tickets say what is to be done.
    """
    understood = _understood(texts, version_id=version_id, head=head)
    if understood is None:
        dispatcher.refill()
        return []
    keys, plan = understood
    known = unpack(keys, fresh) if fresh else NONE
    recorded = work(keys, plan=plan, head=head, carried=carried, send=dispatcher.refill, fresh=known)
    if not recorded.handed_on or recorded.released or recorded.wakes:
        # This delivery left room in the broker's window, or tickets that its chain does not carry.
        dispatcher.refill()
    return encode(recorded.handed_on)


def work(  # noqa: PLR0913 - a delivery, and who sends meanwhile
    keys: Sequence[Key],
    *,
    plan: Plan,
    head: str,
    carried: str | None,
    send: Callable[[], object] | None = None,
    fresh: Mapping[Key, Fresh] = NONE,
) -> Recorded:
    """Advance the runs through the link at `head`, and tell what came of it.

    `send` is called for tickets that are released while others of the delivery are still performed. `fresh` are runs
    of which the message says what a load would find.
    """

    def meanwhile(part: Recorded) -> None:
        tell(part)
        wake(part.wakes)
        if send is not None and (part.released or part.wakes):
            send()

    recorded = executor.advance(keys, plan=plan, head=head, carried=carried, meanwhile=meanwhile, fresh=fresh)
    if len(recorded.won) < len(keys):
        log.info("stale_delivery", extra={"head": head, "count": len(keys) - len(recorded.won)})
    tell(recorded)
    wake(recorded.wakes)
    return recorded


def wake(row_ids: Sequence[int]) -> int:
    """Go on with steps whose child runs have all ended, and up the line from there; answers how many there were.

    One that fails here is left to the sweep, which finds its row due.
    """
    won = 0
    while row_ids:
        recorded = Recorded()
        for (version_id, step), rows in sub_workflows.answered(row_ids).items():
            try:
                plan = plans.load(version_id)
                outcomes = [sub_workflows.outcome(row, plan=plan) for row in rows]
                recorded = recorded.joined(record.record(outcomes, plan=plan))
            except Exception:
                # One version that this code cannot read must not hold back the others.
                log.exception("wake_failed", extra={"version_id": str(version_id), "step": step})
        turned, over = _turn(row_ids)
        recorded = recorded.joined(over)
        tell(recorded)
        won += turned
        won += len(recorded.won)
        row_ids = recorded.wakes
    return won


def _turn(row_ids: Sequence[int]) -> tuple[int, Recorded]:
    """Open the next items of these rows' steps, and record the steps whose items have all ended."""
    recorded = Recorded()
    try:
        turned = for_each.turn(row_ids)
    except Exception:
        log.exception("turn_failed")
        return 0, recorded
    for (version_id, step), over in turned.over.items():
        try:
            plan = plans.load(version_id)
            recorded = recorded.joined(record.record(for_each.finish(over, plan=plan), plan=plan))
        except Exception:
            log.exception("wake_failed", extra={"version_id": str(version_id), "step": step})
    return turned.opened, recorded


def _understood(texts: Sequence[str], *, version_id: UUID, head: str) -> tuple[list[Key], Plan] | None:
    try:
        keys, plan = decode(texts), plans.load(version_id)
    except (ValueError, Version.DoesNotExist) as error:
        log.warning("knock_ignored", extra={"version_id": str(version_id), "head": head, "error": str(error)[:500]})
        return None
    if head not in plan.steps:
        log.warning("knock_ignored", extra={"version_id": str(version_id), "head": head, "error": "unknown step"})
        return None
    return keys, plan


def tell(recorded: Recorded) -> None:
    """A log line for each step that gave up and each run that ended; never params or outputs.

    Many runs that ended alike get one line together: their rows say the rest.
    """
    for run_id, result in recorded.failed:
        log.error(
            "dead_letter",
            extra={"run_id": str(run_id), "step": result.step, "reason": result.dead_reason},
        )
    states = Counter(state for _, state in recorded.ended)
    for state, count in states.items():
        if count > _TOLD_ALONE:
            log.info("runs_finished", extra={"count": count, "state": state})
    for run_id, state in recorded.ended:
        if states[state] <= _TOLD_ALONE:
            log.info("run_finished", extra={"run_id": str(run_id), "state": state})
