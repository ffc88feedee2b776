"""Log the results of a record: dead letters and ended runs."""

from __future__ import annotations

import logging
from collections import Counter

from runs.domain.outcomes import Recorded

log = logging.getLogger(__name__)

_LOGGED_ALONE = 3


def report(recorded: Recorded) -> None:
    """Write a log line for each dead letter and each run that ended, without inputs or outputs.

    If more than three runs ended with the same state, they share one line with their number.
    """
    for run_id, result in recorded.failed:
        log.error(
            "dead_letter",
            extra={"run_id": str(run_id), "step": result.step, "reason": result.dead_reason},
        )
    states = Counter(state for _, state in recorded.ended)
    for state, count in states.items():
        if count > _LOGGED_ALONE:
            log.info("runs_finished", extra={"count": count, "state": state})
    for run_id, state in recorded.ended:
        if states[state] <= _LOGGED_ALONE:
            log.info("run_finished", extra={"run_id": str(run_id), "state": state})
