"""The result of a failed attempt: the step is retried, handled by `on_error`, or becomes a dead letter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from actions import payload
from actions.base import ActionError, Cancelled, Json, Retryable
from actions.credentials import Credential
from actions.moments import iso
from runs.domain.outcomes import Outcome, StepResult
from runs.domain.states import StepState
from runs.engine import redaction, retry_policy
from runs.engine.work import Work, stopped
from runs.planning.plan import Plan
from runs.planning.steps import PlannedStep


@dataclass(frozen=True)
class Tried:
    """The facts of an attempt that failed: its start, input and rendered config.

    `outcome` is its outcome in the step's history, `reason` the reason of its dead letter, if it becomes one. `opened`
    are the credentials that it opened, whose secrets must not be in what is recorded.
    """

    started_at: datetime
    given: Json = None
    used: Json = None
    outcome: str = "failed"
    reason: str = "failed"
    opened: tuple[Credential, ...] = ()


def failed(step: PlannedStep, work: Work, error: BaseException, tried: Tried) -> StepResult:
    """Return the result of a failed attempt: the retry policy decides first, then `on_error`, then a dead letter."""
    result = _as_failure(step, work, error, tried)
    if isinstance(error, Cancelled) and stopped(step, work):
        *before, own = result.attempts
        return result._replace(state=StepState.CANCELLED, attempts=[*before, {**own, "outcome": "cancelled"}])
    known = error if isinstance(error, ActionError) else Retryable(retry_policy.message(error))
    # Attempts that were lost with their worker, or given up with it, do not count for the retry policy.
    lost = attempts_with("lost", work.attempts) + attempts_with("released", work.attempts)
    tries = work.attempt - retried_by_hand(work.attempts) - lost
    if retry_policy.wanted(step.retry, error=known, attempt=tries):
        delay = retry_policy.wait_seconds(step.retry, error=known, attempt=tries)
        return result._replace(state=StepState.RETRYING, delay_seconds=delay, finished_at=None)
    if work.item >= 0:
        return result  # what a failed item means is decided when all items have ended
    if step.definition.on_error == "continue":
        return result._replace(output={"error": result.error})
    if step.definition.goto is not None:
        return result
    return result._replace(dead_reason="compensation" if step.undoes is not None else tried.reason)


def _as_failure(step: PlannedStep, work: Work, error: BaseException, tried: Tried) -> StepResult:
    """Return the step as failed, with this attempt added to its history."""
    hide = redaction.of(tried.opened).text if tried.opened else None
    described = _cleaned(retry_policy.described(error, hide=hide))
    if tried.opened:
        described = _hidden(described, tried.opened)
    finished_at = work.clock.now()
    history = {
        "number": work.attempt,
        "outcome": tried.outcome,
        "error": described,
        "started_at": iso(tried.started_at),
        "finished_at": iso(finished_at),
    }
    return StepResult(
        step=step.id,
        state=StepState.FAILED,
        error=described,
        config=tried.used if step.has_expressions else None,
        attempt=work.attempt,
        attempts=[*work.attempts, history],
        started_at=tried.started_at,
        finished_at=finished_at,
        given=tried.given,
        used=tried.used,
        suspect=work.suspect,
    )


def _hidden(described: dict[str, Json], opened: tuple[Credential, ...]) -> dict[str, Json]:
    """Return an error without the secrets of these credentials."""
    found = redaction.of(opened).json(described)
    return found if isinstance(found, dict) else {}


def retried_by_hand(attempts: Sequence[Any]) -> int:
    """Return the number of the last attempt before the last retry by hand, or 0. The retry policy starts anew there."""
    return max((tried["number"] for tried in attempts if "retried_at" in tried), default=0)


def attempts_with(outcome: str, attempts: Sequence[Any]) -> int:
    """Return the number of attempts since the last retry by hand that had this outcome: `lost` or `released`, say."""
    since = retried_by_hand(attempts)
    return sum(1 for tried in attempts if tried["outcome"] == outcome and tried["number"] > since)


def _cleaned(described: dict[str, Json]) -> dict[str, Json]:
    """Return the error in a form that PostgreSQL can store; its details are dropped if they are not JSON."""
    try:
        cleaned = payload.clean(described)
    except ActionError:
        cleaned = payload.clean({key: str(described[key]) for key in ("kind", "message")})
    return cleaned if isinstance(cleaned, dict) else {}


def unrecordable(outcome: Outcome, error: Exception, *, plan: Plan) -> Outcome:
    """Return the outcome as a failure that PostgreSQL can store, without the values that it refused."""
    refusal: dict[str, Json] = {
        "kind": "unrecordable",
        "message": f"PostgreSQL refused the result: {error}"[:2000],
    }
    first = outcome.results[0]
    on_error = plan.steps[first.step].definition.on_error
    # Earlier entries of the history came from the database; this attempt's own may be the value that it refused.
    own_entry = first.state in (StepState.FAILED, StepState.RETRYING)
    failed = StepResult(
        step=first.step,
        state=StepState.FAILED,
        error=refusal,
        output={"error": refusal} if on_error == "continue" else None,
        attempt=max(1, first.attempt),
        attempts=first.attempts[:-1] if own_entry else first.attempts,
        started_at=first.started_at,
        finished_at=first.finished_at,
        dead_reason="unrecordable" if on_error == "fail" else None,
    )
    return outcome._replace(results=(failed,))
