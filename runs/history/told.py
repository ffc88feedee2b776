"""What steps told while they were performed: their progress, and their log lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import F, OuterRef, QuerySet, Subquery
from django.db.models.functions import JSONObject

from actions.base import Json
from runs.history.words import json_line, printable
from runs.models import Checkpoint, StepLog, StepRun

# Logs of this many steps are shown at once, the newest first.
SHOWN_LOGS = 50


@dataclass(frozen=True)
class Progress:
    """How far a step got, as of its last checkpoint; each count is None if its action does not say it."""

    done: int | None
    failed: int | None
    total: int | None
    at: datetime
    attempt: int

    def text(self) -> str:
        """Return it for people: `12 of 100 done, 1 failed`; an empty text without counts."""
        parts = []
        if self.done is not None:
            parts.append(f"{self.done:,} of {self.total:,} done" if self.total is not None else f"{self.done:,} done")
        elif self.total is not None:
            parts.append(f"{self.total:,} in total")
        if self.failed:
            parts.append(f"{self.failed:,} failed")
        return ", ".join(parts)


@dataclass(frozen=True)
class Log:
    """The stored log lines of a step, oldest first, and how many more there were."""

    step: str
    item: int
    lines: list[dict[str, Any]]
    dropped: int

    def text(self) -> Iterator[str]:
        """Yield a line for a terminal or a page for each stored one, and one for those that were left out."""
        for line in self.lines:
            fields = f"  {json_line(line['fields'])}" if "fields" in line else ""
            message = printable(str(line.get("message", "")))
            yield f"{line.get('at')}  {line.get('level')}  try {line.get('attempt')}  {message}{fields}"
        if self.dropped:
            yield f"{self.dropped:,} more lines were not stored"


def with_progress(rows: QuerySet[StepRun]) -> QuerySet[StepRun]:
    """Add the last checkpoint of each row as `told`, in the same query; None where there is none."""
    facts = JSONObject(done=F("done"), failed=F("failed"), total=F("total"), at=F("at"), attempt=F("attempt"))
    last = Checkpoint.objects.filter(run_id=OuterRef("run_id"), step=OuterRef("step"), item=OuterRef("item"))
    return rows.annotate(told=Subquery(last.values(facts=facts)[:1]))


def progress_of(row: StepRun) -> Progress | None:
    """Return the progress of a row of `with_progress`."""
    found: Json = getattr(row, "told", None)
    if not isinstance(found, dict):
        return None
    return Progress(**{**found, "at": datetime.fromisoformat(str(found["at"]))})  # type: ignore[arg-type]


def log_of(run_id: UUID, *, step: str, item: int = -1) -> Log:
    """Return the log of a step, or of an item of it; without lines if it never logged."""
    row = StepLog.objects.filter(run_id=run_id, step=step, item=item).first()
    return Log(step, item, [], 0) if row is None else _log(row)


def logs_of(run_id: UUID) -> list[Log]:
    """Return the logs of a run's steps and items, in the order in which they began: the newest SHOWN_LOGS."""
    return _logs(StepLog.objects.filter(run_id=run_id))


def logs_of_steps(run_id: UUID) -> dict[str, Log]:
    """Return the logs of a run's steps by step, without those of items: the newest SHOWN_LOGS."""
    return {log.step: log for log in _logs(StepLog.objects.filter(run_id=run_id, item=-1))}


def _logs(rows: QuerySet[StepLog]) -> list[Log]:
    return [_log(row) for row in reversed(rows.order_by("-id")[:SHOWN_LOGS])]


def _log(row: StepLog) -> Log:
    lines: Iterable[Any] = row.lines if isinstance(row.lines, list) else []
    return Log(row.step, row.item, [line for line in lines if isinstance(line, dict)], row.dropped)
