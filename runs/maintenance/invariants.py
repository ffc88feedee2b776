"""Check invariants: look for runs in impossible states, and log an alarm about each."""

from __future__ import annotations

import logging

from runs.engine import sub_workflows
from runs.queries import invariants
from runs.queries.database import run

log = logging.getLogger(__name__)

_BATCH = 200


def check() -> int:
    """Log an alarm for every run that nothing would move again; return how many faults were found.

    The only fault that is repaired, after it was found, is a wait for a sub-workflow that has ended.
    """
    faults = run(invariants.AUDIT, limit=_BATCH)
    sub_workflows.wake_stranded(limit=_BATCH)
    for run_id, fault in faults:
        log.error("audit_alarm", extra={"run_id": str(run_id), "fault": fault})
    return len(faults)
