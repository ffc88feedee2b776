"""The JSON of jobs in responses."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from runs.domain.states import RunState
from runs.domain.statuses import JobStatus
from runs.history import masking
from runs.history.jobs import JobFacts
from runs.history.timeline import StepView
from runs.models import Run
from runs.planning import plan
from runs.schemas.base import Shape
from runs.schemas.runs import times


class JobSummary(Shape):
    """A job in a list. `max_retries` is the number of attempts after the first; `attempt` is 0 before the first.

    `status` is in the words of other job engines: `pending` while it is paused before it began, `retrying` while a
    retry waits, `dead_letter` where an open dead letter stands, `failed` for every other end without success. `state`
    is ours. `last_error` is the message of the last attempt that failed. `worker_id` is the process that performs the
    job, or lost its last attempt. `scheduled_at` is when the next attempt or the end of a wait is due, else null.
    """

    id: UUID
    type: str
    state: RunState
    status: JobStatus
    max_retries: int
    attempt: int
    error: Any
    last_error: str | None
    worker_id: str | None
    idempotency_key: str | None
    scheduled_at: datetime | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    completed_at: datetime | None
    updated_at: datetime


class JobDetail(JobSummary):
    """A job with its payload, its output and the attempts that did not succeed."""

    payload: Any
    output: Any
    attempts: list[Any]


def job_summary(run: Run, *, facts: JobFacts) -> JobSummary:
    """Return the summary of a job's run."""
    return JobSummary(**_job(run, facts))


def job_detail(run: Run, *, view: StepView, facts: JobFacts, secrets: bool) -> JobDetail:
    """Return all details of a job's run, with secrets masked unless `secrets`; `view` is its only step."""
    payload = masking.config(run.input, secrets=secrets)
    return JobDetail(**_job(run, facts), payload=payload, output=run.output, attempts=view.attempts)


def _job(run: Run, facts: JobFacts) -> dict[str, Any]:
    # Jobs share a handful of versions, so plan.load finds the plan in this process's cache.
    only = next(iter(plan.load(run.version_id).steps.values()))
    moments = (run.created_at, run.started_at, run.finished_at, *facts.changed_at)
    return {
        "id": run.pk,
        "type": only.definition.action,
        "state": run.state,
        "status": facts.status(run),
        "max_retries": only.retry.max_attempts - 1,
        "attempt": facts.attempt,
        "error": run.error,
        "last_error": _last_error(run, facts),
        "worker_id": None if facts.process is None else str(facts.process),
        "idempotency_key": run.idempotency_key,
        "scheduled_at": facts.scheduled_at,
        **times(run),
        "completed_at": run.finished_at,
        "updated_at": max(moment for moment in moments if moment is not None),
    }


def _last_error(run: Run, facts: JobFacts) -> str | None:
    """Return the message of the run's error, else of the last attempt that failed."""
    for error in (run.error, *(tried.get("error") for tried in reversed(facts.attempts))):
        if isinstance(error, dict) and error.get("message") is not None:
            return str(error["message"])
    return None
