"""Continue steps that waited for a sub-workflow run or for items, after those have ended."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from runs.domain.outcomes import Recorded
from runs.engine import for_each, record, sub_workflows
from runs.engine.report import report
from runs.planning import plan as plans

log = logging.getLogger(__name__)

# How long one record takes with the outputs of runs that end; what is left of its set comes with the next round.
_LATE_SECONDS = 1.0


def late_from_now() -> Callable[[], bool]:
    """Return a function that says whether a record that begins now has taken long enough. What is left stays due."""
    ends = time.monotonic() + _LATE_SECONDS
    return lambda: time.monotonic() >= ends


def wake(row_ids: Sequence[int]) -> int:
    """Continue the steps of these due rows, and then the parents of runs that end by that, up to the topmost run.

    Return the number of steps recorded and items opened. A step that raises an error here is left to the sweep, which
    finds its row still due.
    """
    won = 0
    while row_ids:
        recorded = Recorded()
        for (version_id, step), rows in sub_workflows.answered(row_ids).items():
            try:
                plan = plans.load(version_id)
                outcomes = [sub_workflows.outcome(row, plan=plan) for row in rows]
                recorded = recorded.joined(record.record(outcomes, plan=plan, is_late=late_from_now()))
            except Exception:
                # A version that this code cannot read must not stop the others.
                log.exception("wake_failed", extra={"version_id": str(version_id), "step": step})
        turned, over = _turn(row_ids)
        recorded = recorded.joined(over)
        report(recorded)
        won += turned
        won += len(recorded.won)
        row_ids = recorded.wakes
    return won


def _turn(row_ids: Sequence[int]) -> tuple[int, Recorded]:
    """Open the next items of these rows' steps, and record the steps whose items have all ended.

    Return the number of items opened, and the record.
    """
    recorded = Recorded()
    try:
        turned = for_each.turn(row_ids)
    except Exception:
        log.exception("turn_failed")
        return 0, recorded
    for (version_id, step), over in turned.over.items():
        try:
            plan = plans.load(version_id)
            outcomes = for_each.finish(over, plan=plan, step=step)
            recorded = recorded.joined(record.record(outcomes, plan=plan, is_late=late_from_now()))
        except Exception:
            log.exception("wake_failed", extra={"version_id": str(version_id), "step": step})
    return turned.opened, recorded
