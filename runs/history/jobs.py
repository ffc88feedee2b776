"""What a list of jobs needs besides their runs: attempts, what is due next, open dead letters. And jobs by status."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import reduce
from operator import or_
from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet

from runs.domain.states import RUN_ENDED, RUN_LIVE, DeadLetterState, RunState, StepState, values
from runs.domain.statuses import JobStatus, job_status
from runs.models import DeadLetter, Run, StepRun, Ticket

_OF_STEP = ("run_id", "state", "attempt", "attempts", "process", "started_at", "finished_at", "wake_at")
_UNHAPPY = values(RUN_ENDED - {RunState.SUCCEEDED})
_RETRYING = Exists(StepRun.objects.filter(run=OuterRef("pk"), item=-1, state=StepState.RETRYING.value))
_HAS_LETTER = Exists(DeadLetter.objects.filter(run=OuterRef("pk"), state=DeadLetterState.OPEN.value))
_LIVE = Q(state__in=values(RUN_LIVE))
_QUEUED = Q(state=RunState.QUEUED.value)
_BY_STATUS: dict[JobStatus, Q] = {
    JobStatus.PENDING: _QUEUED & Q(paused_at__isnull=False),
    JobStatus.QUEUED: _QUEUED & Q(paused_at__isnull=True),
    JobStatus.RUNNING: _LIVE & ~Q(_RETRYING),
    JobStatus.RETRYING: _LIVE & Q(_RETRYING),
    JobStatus.COMPLETED: Q(state=RunState.SUCCEEDED.value),
    JobStatus.FAILED: Q(state__in=_UNHAPPY) & ~Q(_HAS_LETTER),
    JobStatus.DEAD_LETTER: Q(state__in=_UNHAPPY) & Q(_HAS_LETTER),
}


@dataclass(frozen=True)
class JobFacts:
    """What is known of a job's only step. A job that has not begun has none of it.

    `scheduled_at` is when its next attempt, or the end of its wait, is due. `process` is the one that performs it, or
    that lost its last attempt. `changed_at` are the times at which the step was changed, as far as they are known.
    """

    attempt: int = 0
    attempts: Sequence[Any] = ()
    retrying: bool = False
    letter: bool = False
    process: UUID | str | None = None
    scheduled_at: datetime | None = None
    changed_at: tuple[datetime, ...] = field(default_factory=tuple)

    def status(self, run: Run) -> JobStatus:
        """Return the status of the job whose run and facts these are."""
        return job_status(run.state, paused=run.paused_at is not None, retrying=self.retrying, letter=self.letter)


NOTHING_YET = JobFacts()


def facts(runs: Iterable[Run]) -> dict[UUID, JobFacts]:
    """Return the facts of these jobs, in three queries however many they are."""
    by_id = {run.pk: run for run in runs}
    rows = {row.run_id: row for row in StepRun.objects.filter(run__in=by_id, item=-1).only(*_OF_STEP)}
    # A paused run's tickets lie in a far future, and say nothing about its schedule.
    moving = [key for key, run in by_id.items() if run.state in RUN_LIVE and run.paused_at is None]
    due = dict(Ticket.objects.filter(run__in=moving, item=-1).values_list("run_id", "due_at"))
    ended = [key for key, run in by_id.items() if run.state in _UNHAPPY]
    letters = DeadLetter.objects.filter(run__in=ended, state=DeadLetterState.OPEN.value)
    open_letters = set(letters.values_list("run_id", flat=True))
    return {key: _facts(run, rows.get(key), due=due.get(key), letter=key in open_letters) for key, run in by_id.items()}


def having(found: QuerySet[Run], words: Sequence[str]) -> QuerySet[Run]:
    """Return those of the jobs that have one of these statuses; a word that is none is a state of ours."""
    known = {status.value for status in JobStatus}
    if not words:
        return found
    return found.filter(reduce(or_, (_BY_STATUS[JobStatus(w)] if w in known else Q(state=w) for w in words)))


def _facts(run: Run, row: StepRun | None, *, due: datetime | None, letter: bool) -> JobFacts:
    queued_since = run.created_at if run.state == RunState.QUEUED and run.paused_at is None else None
    if row is None:
        return JobFacts(letter=letter, scheduled_at=due or queued_since)
    last = row.attempts[-1] if row.attempts else {}
    waits_until = row.wake_at if row.state == StepState.WAITING else None
    moments = [row.started_at, row.finished_at, _moment(last.get("finished_at"))]
    return JobFacts(
        attempt=row.attempt,
        attempts=row.attempts,
        retrying=row.state == StepState.RETRYING,
        letter=letter,
        process=row.process or last.get("process"),
        scheduled_at=waits_until or due or queued_since,
        changed_at=tuple(moment for moment in moments if moment is not None),
    )


def _moment(text: object) -> datetime | None:
    return datetime.fromisoformat(text) if isinstance(text, str) else None
