"""Dead letters of runs themselves: of a run that fails although no step of it has one.

A run that exceeds its timeout, or whose output cannot be rendered, fails without a failed step. Like every failure it
leaves one dead letter, and starts one alert. Its `step` is empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from actions.base import Json
from runs.domain.outcomes import StepResult
from runs.domain.releases import Release
from runs.domain.states import StepState
from runs.engine import columns
from runs.queries.database import run
from runs.queries.dead_letters import INSERT_DEAD_LETTERS, WITH_OPEN

NO_STEP = ""
TIMED_OUT = "run_timed_out"


def of_releases(releases: Sequence[Release]) -> list[tuple[UUID, StepResult]]:
    """Write the dead letters of the runs that these releases fail for a reason of their own; return them."""
    return _write([(one.run.id, one.dead_reason, one.error) for one in releases if one.dead_reason is not None])


def of_timeouts(run_ids: Sequence[UUID], *, error: dict[str, Json] | None) -> list[tuple[UUID, StepResult]]:
    """Write dead letters of locked runs that exceeded their timeout, but of none that has an open one already."""
    known = {row[0] for row in run(WITH_OPEN, runs=list(run_ids))}
    return _write([(run_id, TIMED_OUT, error) for run_id in run_ids if run_id not in known])


def _write(found: Sequence[tuple[UUID, str, dict[str, Json] | None]]) -> list[tuple[UUID, StepResult]]:
    letters = [
        (run_id, StepResult(step=NO_STEP, state=StepState.FAILED, error=error, dead_reason=reason))
        for run_id, reason, error in found
    ]
    if letters:
        run(INSERT_DEAD_LETTERS, **columns.dead_letters([(run_id, -1, result) for run_id, result in letters]))
    return letters
