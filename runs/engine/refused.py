"""What becomes of a single outcome that the database would not take: it waits for a lock, or its values are refused."""

from __future__ import annotations

from actions.base import Json
from runs.domain.outcomes import Outcome, StepResult
from runs.domain.states import StepState
from runs.planning.plan import Plan


def unrecordable(outcome: Outcome, error: Exception, *, plan: Plan) -> Outcome:
    """The outcome as a failure that PostgreSQL can hold: the values that it refused are left out."""
    told: dict[str, Json] = {
        "kind": "unrecordable",
        "message": f"PostgreSQL refused the result: {error}"[:2000],
    }
    first = outcome.results[0]
    on_error = plan.steps[first.step].definition.on_error
    # What was tried before came from the database; this attempt's own entry may be what it refused.
    fresh = first.state in (StepState.FAILED, StepState.RETRYING)
    failed = StepResult(
        step=first.step,
        state=StepState.FAILED,
        error=told,
        output={"error": told} if on_error == "continue" else None,
        attempt=max(1, first.attempt),
        attempts=first.attempts[:-1] if fresh else first.attempts,
        started_at=first.started_at,
        finished_at=first.finished_at,
        dead_reason="unrecordable" if on_error == "fail" else None,
    )
    return outcome._replace(results=(failed,))
