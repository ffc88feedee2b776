"""Suspects: tickets that three messages did not move, or whose worker died. Each is performed alone."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from runs.domain.candidates import Candidate
from runs.domain.outcomes import Recorded
from runs.domain.releases import REPEAT_SECONDS
from runs.domain.requests import Due
from runs.engine import executor
from runs.engine.report import report
from runs.engine.wake import wake
from runs.planning import plan as plans
from runs.queries import tickets
from runs.queries.database import run

log = logging.getLogger(__name__)


def pick(*, limit: int) -> list[Due]:
    """Take suspects that are due: nobody else takes them for the next REPEAT_SECONDS, and longer each time."""
    return [Due(*row) for row in run(tickets.PICK_SUSPECTS, limit=limit, repeat=REPEAT_SECONDS)]


def perform(suspects: Sequence[Due], *, before_each: Callable[[float], object] = lambda _: None) -> None:
    """Perform suspects one after the other. `before_each` is called with the timeout of the step, in seconds."""
    for one in suspects:
        try:
            plan = plans.load(one.version_id)
            step = plan.steps[one.head]
        except Exception:
            # A version that this code cannot read must not hold back the others.
            log.exception("version_unusable", extra={"version_id": str(one.version_id), "head": one.head})
            continue
        before_each(step.timeout_seconds)
        executor.perform_alone(Candidate(one.run_id, one.item, one.head), plan=plan, after=_tell)


def perform_due(*, limit: int = 20) -> int:
    """Perform suspects that are due in this process, and return how many there were."""
    found = pick(limit=limit)
    perform(found)
    return len(found)


def _tell(recorded: Recorded) -> None:
    report(recorded)
    wake(recorded.wakes)
