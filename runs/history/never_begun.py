"""Why a step that has no row will never begin: its run was cancelled, failed, or ended without needing it.

This is derived when somebody looks, and not written as rows: a cancel of many runs would have to write a row for every
step of each that was still to come.
"""

from __future__ import annotations

from actions.base import Json
from runs.domain.states import RUN_ENDED, RunState
from runs.models import Run
from runs.planning.steps import Part

# By the outcome of the run's work: the kind and what happened.
_WHY = {
    RunState.CANCELLED: ("run_cancelled", "the run was cancelled before this step began"),
    RunState.FAILED: ("run_failed", "the run had failed before this step began"),
    RunState.COMPENSATED: ("run_failed", "the run had failed before this step began"),
    RunState.SUCCEEDED: ("not_reached", "the run succeeded without this step"),
}


def reason(run: Run, part: Part) -> Json:
    """Return why a step of this part, which has no row, will never begin, as an error; None if it still may.

    The work of a run is over before the run has ended, if compensation, `on_failure` or `finally` follow it.
    """
    if run.state not in RUN_ENDED and not (part is Part.MAIN and run.ending):
        return None
    error = run.error if isinstance(run.error, dict) else {}
    if error.get("kind") == "terminated" or ("terminated" in error and part is not Part.MAIN):
        return {"kind": "run_terminated", "message": "the run was terminated before this step began"}
    if error.get("reason") == "timed_out" and "step" not in error:
        return {"kind": "run_timed_out", "message": "the run exceeded its timeout before this step began"}
    kind, message = _WHY[RunState(run.ending or run.state)]
    if kind == "run_failed" and isinstance(error.get("step"), str):
        message = f"the run had failed at step {error['step']!r} before this step began"
    return {"kind": kind, "message": message}
