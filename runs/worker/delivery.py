"""Process a knock: advance its runs, report the outcomes, and refill the broker's window."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from runs.dispatch import dispatcher
from runs.dispatch.compiler import decode, encode
from runs.domain.candidates import Candidate, by_head, heads_of
from runs.domain.outcomes import Key, Recorded
from runs.domain.requests import Preloaded
from runs.engine import executor, tickets
from runs.engine.parallel import BUDGET_SECONDS
from runs.engine.preload import NONE, unpack
from runs.engine.report import report
from runs.engine.wake import wake
from runs.planning import plan as plans
from runs.planning.plan import Plan
from runs.planning.steps import Kind
from workflows.models import Version

log = logging.getLogger(__name__)


def deliver(
    texts: Sequence[str], *, version_id: UUID, head: str, carried: str | None, preloaded: Sequence[Any] = ()
) -> list[str]:
    """Advance the runs of a message, and return the encoded candidates of the chain's next task; empty if none was won.

    A message that this code cannot understand is logged and ignored: its tickets are still there and are sent again.
    """
    understood = _understood(texts, version_id=version_id, head=head)
    if understood is None:
        dispatcher.refill()
        return []
    candidates, plan = understood
    known = unpack([one.key for one in candidates], preloaded) if preloaded else NONE
    recorded = work(candidates, plan=plan, carried=carried, send=dispatcher.refill, preloaded=known)
    if not recorded.handed_on or recorded.released or recorded.wakes:
        # This delivery leaves room in the broker's window, or tickets that its chain does not hand on.
        dispatcher.refill()
    return encode([Candidate(*key, carried) for key in recorded.handed_on]) if carried else []


def work(
    candidates: Sequence[Candidate],
    *,
    plan: Plan,
    carried: str | None,
    send: Callable[[], object] | None = None,
    preloaded: Mapping[Key, Preloaded] = NONE,
) -> Recorded:
    """Advance the runs through the links at their heads, report the outcomes, and wake parents and for_each steps.

    `carried` is the head of the chain's next task. `send` is called when tickets are released while other runs of the
    delivery are still being performed. `preloaded` has, for new runs, the data that a load would read. Of candidates at
    several heads, none is carried on and none is preloaded.
    """

    def meanwhile(part: Recorded) -> None:
        report(part)
        wake(part.wakes)
        if send is not None and (part.released or part.wakes):
            send()

    heads = by_head(candidates)
    if len(heads) > 1:
        carried, preloaded = None, NONE
    recorded, stale, ends = Recorded(), 0, time.monotonic() + BUDGET_SECONDS
    for head, keys in heads.items():
        if time.monotonic() > ends and plan.steps[head].kind(keys[0][1]) is not Kind.INLINE:
            # The message's time limit is that of one step, and another process may be free to claim these.
            tickets.hand_back(keys, head=head)
            continue
        part = executor.advance(keys, plan=plan, head=head, carried=carried, meanwhile=meanwhile, preloaded=preloaded)
        report(part)
        wake(part.wakes)
        stale += len(keys) - len(part.won)
        recorded = recorded.joined(part)
    if stale:
        log.info("stale_delivery", extra={"head": candidates[0].head, "count": stale})
    return recorded


def _understood(texts: Sequence[str], *, version_id: UUID, head: str) -> tuple[list[Candidate], Plan] | None:
    """Return the candidates whose steps the plan has, and the plan; None if there are none. Logs what is ignored."""
    ignored = {"version_id": str(version_id), "head": head}
    try:
        candidates, plan = decode(texts, head=head), plans.load(version_id)
    except (ValueError, Version.DoesNotExist) as error:
        log.warning("knock_ignored", extra={**ignored, "error": str(error)[:500]})
        return None
    if unknown := [name for name in heads_of(candidates) if name not in plan.steps]:
        log.warning("knock_ignored", extra={**ignored, "head": unknown[0], "error": f"{len(unknown)} unknown steps"})
        candidates = [one for one in candidates if one.head in plan.steps]
    return (candidates, plan) if candidates else None
