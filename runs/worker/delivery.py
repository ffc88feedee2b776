"""Process a knock: advance its runs, report the outcomes, and refill the broker's window."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from runs.dispatch import dispatcher, shares, window
from runs.dispatch.compiler import decode, encode
from runs.domain.candidates import Candidate, heads_of
from runs.domain.outcomes import Recorded
from runs.engine import executor, tickets
from runs.engine.preload import NONE, unpack
from runs.engine.report import report
from runs.engine.wake import wake
from runs.planning import plan as plans
from runs.planning.plan import Plan
from workflows.models import Version

log = logging.getLogger(__name__)

# After a delivery that took this long, dispatch looks at once, however little room the broker's window has.
_LONG_SECONDS = 0.1


def deliver(
    texts: Sequence[str], *, version_id: UUID, head: str, chain: Sequence[str] = (), preloaded: Sequence[Any] = ()
) -> tuple[str, list[str]]:
    """Advance the runs of a message; return the head at which its chain goes on, and the candidates of that task.

    `chain` are the heads of the message's other tasks. Without candidates, encoded here, the chain ends. A message that
    this code cannot understand is logged and ignored: its tickets are still there and are sent again.
    """
    understood = _understood(texts, version_id=version_id, head=head)
    if understood is None:
        dispatcher.refill()
        return "", []
    candidates, plan = understood
    known = unpack([one.key for one in candidates], preloaded) if preloaded else NONE
    began = time.monotonic()
    delivered = executor.advance(candidates, plan=plan, chain=chain, callbacks=_WITH_BROKER, preloaded=known)
    took = time.monotonic() - began
    shares.spend(plan.workspace_id, took)
    if delivered.stale:
        log.info("stale_delivery", extra={"head": head, "count": delivered.stale})
    if not delivered.handed_on:
        # This delivery leaves room in the broker's window.
        dispatcher.refill(at_once=took >= _LONG_SECONDS)
        return "", []
    return _next_task(delivered.handed_on)


def perform(candidates: Sequence[Candidate], *, plan: Plan) -> None:
    """Advance candidates without a broker: what follows, and is not performed here, gets tickets that are due."""
    executor.advance(candidates, plan=plan, callbacks=_WITHOUT_BROKER)


def _next_task(handed_on: Sequence[Candidate]) -> tuple[str, list[str]]:
    """Return the head at which most of the candidates are, with their keys. The tickets of the others are due again."""
    [(head, count)] = Counter(one.head for one in handed_on).most_common(1)
    if count < len(handed_on):
        tickets.hand_back([one for one in handed_on if one.head != head])
        dispatcher.refill()
    return head, encode([one for one in handed_on if one.head == head])


def _tell(recorded: Recorded) -> None:
    """Report outcomes, and wake parents and for_each steps."""
    report(recorded)
    wake(recorded.wakes)


def _tell_and_send(recorded: Recorded) -> None:
    """The same, and send messages for tickets that a delivery has released, and does not take further itself."""
    _tell(recorded)
    if recorded.released or recorded.wakes:
        dispatcher.refill()


def _tell_and_refill(recorded: Recorded) -> None:
    """The same after a record of the recorder, which has made room for other steps."""
    _tell(recorded)
    dispatcher.refill()


_WITH_BROKER = executor.Callbacks(after=_tell_and_send, behind=_tell_and_refill, crowded=window.anything_waits)
_WITHOUT_BROKER = executor.Callbacks(after=_tell, behind=_tell, crowded=lambda: False)


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
