"""Continue steps that waited for a sub-workflow run or for items, after those have ended."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from runs.domain.outcomes import Recorded
from runs.engine import for_each, record, sub_workflows
from runs.engine.report import report
from runs.planning import plan as plans

log = logging.getLogger(__name__)


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
                recorded = recorded.joined(record.record(outcomes, plan=plan))
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
            recorded = recorded.joined(record.record(for_each.finish(over, plan=plan, step=step), plan=plan))
        except Exception:
            log.exception("wake_failed", extra={"version_id": str(version_id), "step": step})
    return turned.opened, recorded
