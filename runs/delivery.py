"""Take delivery of a knock: advance its runs, tell what came of it, and refill the window."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from uuid import UUID

from runs import dispatch, executor
from runs import plan as plans
from runs.compiler import decode, encode
from runs.outcomes import Recorded

log = logging.getLogger(__name__)


def deliver(texts: Sequence[str], *, version_id: UUID, head: str, carried: str | None) -> list[str]:
    """Answers the keys to hand on along the chain, encoded; empty when none was won."""
    keys = decode(texts)
    recorded = executor.advance(keys, plan=plans.load(version_id), head=head, carried=carried)
    if len(recorded.won) < len(keys):
        log.info("stale_delivery", extra={"head": head, "count": len(keys) - len(recorded.won)})
    tell(recorded)
    if not recorded.handed_on or recorded.released:
        # This delivery left room in the broker's window, or tickets that its chain does not carry.
        dispatch.after_commit()
    return encode(recorded.handed_on)


def tell(recorded: Recorded) -> None:
    """One log line for each run that ended and each step that gave up; never params or outputs."""
    for run_id, result in recorded.failed:
        log.error(
            "dead_letter",
            extra={"run_id": str(run_id), "step": result.step, "reason": result.dead_reason},
        )
    for run_id, state in recorded.ended:
        log.info("run_finished", extra={"run_id": str(run_id), "state": state})
