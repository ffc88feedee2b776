"""Take delivery of a knock: advance its runs, tell what came of it, and refill the window."""

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
    """Answers the keys to hand on along the chain, encoded; empty when none was won.

    A message that this code cannot make sense of is logged and ignored: the tickets say what is to be done.
    """
    understood = _understood(texts, version_id=version_id, head=head)
    if understood is None:
        dispatcher.refill()
        return []
    keys, plan = understood
    known = unpack(keys, preloaded) if preloaded else NONE
    recorded = work(keys, plan=plan, head=head, carried=carried, send=dispatcher.refill, preloaded=known)
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
    preloaded: Mapping[Key, Preloaded] = NONE,
) -> Recorded:
    """Advance the runs through the link at `head`, and tell what came of it.

    `send` is called for tickets that are released while others of the delivery are still performed. `preloaded` are
    runs of which the message says what a load would find.
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
