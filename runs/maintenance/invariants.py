"""Look for states that must not be, and raise an alarm about each."""

from __future__ import annotations

import logging

from runs.engine import sub_workflows
from runs.queries import invariants
from runs.queries.database import run

log = logging.getLogger(__name__)

_BATCH = 200


def check() -> int:
    """Tell of every run that nothing moves any more; answers how many faults there were.

    It repairs nothing but a wait for a child that has ended, once that is told.
    """
    faults = run(invariants.AUDIT, limit=_BATCH)
    sub_workflows.wake_stranded(limit=_BATCH)
    for run_id, fault in faults:
        log.error("audit_alarm", extra={"run_id": str(run_id), "fault": fault})
    return len(faults)
