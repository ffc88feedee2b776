"""The JSON of jobs in responses."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from runs.domain.states import RunState
from runs.history import masking
from runs.history.timeline import StepView
from runs.models import Run
from runs.planning import plan
from runs.schemas.base import Shape
from runs.schemas.runs import times


class JobSummary(Shape):
    """A job in a list. `max_retries` is the number of attempts after the first; `attempt` is 0 before the first."""

    id: UUID
    type: str
    state: RunState
    status: RunState
    max_retries: int
    attempt: int
    error: Any
    idempotency_key: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class JobDetail(JobSummary):
    """A job with its payload, its output and the attempts that did not succeed."""

    payload: Any
    output: Any
    attempts: list[Any]


def job_summary(run: Run, *, attempt: int) -> JobSummary:
    """Return the summary of a job's run; `attempt` is the current attempt of its step."""
    return JobSummary(**_job(run, attempt))


def job_detail(run: Run, *, view: StepView, secrets: bool) -> JobDetail:
    """Return all details of a job's run, with secrets masked unless `secrets`; `view` is its only step."""
    summary = _job(run, view.attempt)
    return JobDetail(
        **summary, payload=masking.config(run.input, secrets=secrets), output=run.output, attempts=view.attempts
    )


def _job(run: Run, attempt: int) -> dict[str, Any]:
    # Jobs share a handful of versions, so plan.load finds the plan in this process's cache.
    only = next(iter(plan.load(run.version_id).steps.values()))
    return {
        "id": run.pk,
        "type": only.definition.action,
        "state": run.state,
        "status": run.state,
        "max_retries": only.retry.max_attempts - 1,
        "attempt": attempt,
        "error": run.error,
        "idempotency_key": run.idempotency_key,
        **times(run),
    }
