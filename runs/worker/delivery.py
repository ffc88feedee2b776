"""Process a knock: advance its runs, report the outcomes, and refill the broker's window."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from runs.dispatch import dispatcher
from runs.dispatch.compiler import decode, encode
from runs.domain.outcomes import Key, Recorded
from runs.domain.requests import Preloaded
from runs.engine import executor
from runs.engine.preload import NONE, unpack
from runs.engine.report import report
from runs.engine.wake import wake
from runs.planning import plan as plans
from runs.planning.plan import Plan
from workflows.models import Version

log = logging.getLogger(__name__)


def deliver(
    texts: Sequence[str], *, version_id: UUID, head: str, carried: str | None, preloaded: Sequence[Any] = ()
) -> list[str]:
    """Advance the runs of a message, and return the encoded keys for the chain's next task; empty if none was won.

    A message that this code cannot understand is logged and ignored: its tickets are still there and are sent again.
    """
    understood = _understood(texts, version_id=version_id, head=head)
    if understood is None:
        dispatcher.refill()
        return []
    keys, plan = understood
    known = unpack(keys, preloaded) if preloaded else NONE
    recorded = work(keys, plan=plan, head=head, carried=carried, send=dispatcher.refill, preloaded=known)
    if not recorded.handed_on or recorded.released or recorded.wakes:
        # This delivery leaves room in the broker's window, or tickets that its chain does not hand on.
        dispatcher.refill()
    return encode(recorded.handed_on)


def work(  # noqa: PLR0913 - a delivery, and what it may call and know
    keys: Sequence[Key],
    *,
    plan: Plan,
    head: str,
    carried: str | None,
    send: Callable[[], object] | None = None,
    preloaded: Mapping[Key, Preloaded] = NONE,
) -> Recorded:
    """Advance the runs through the link at `head`, report the outcomes, and wake parents and for_each steps.

    `carried` is the head of the chain's next task. `send` is called when tickets are released while other runs of the
    delivery are still being performed. `preloaded` has, for new runs, the data that a load would read.
    """

    def meanwhile(part: Recorded) -> None:
        report(part)
        wake(part.wakes)
        if send is not None and (part.released or part.wakes):
            send()

    recorded = executor.advance(keys, plan=plan, head=head, carried=carried, meanwhile=meanwhile, preloaded=preloaded)
    if len(recorded.won) < len(keys):
        log.info("stale_delivery", extra={"head": head, "count": len(keys) - len(recorded.won)})
    report(recorded)
    wake(recorded.wakes)
    return recorded


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
