"""The input of an attempt: one run at one link, as it was loaded or claimed, and the database's clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from time import monotonic
from typing import Any, NamedTuple

from actions.base import Json
from runs.domain.outcomes import NO_STEPS, LoadedSteps, RunFacts
from runs.engine import lease
from runs.planning.steps import PlannedStep
from runs.queries.database import Row
from runs.queries.values import loads


class Clock:
    """The database's clock, without asking the database: its time at the load, plus monotonic time since then."""

    def __init__(self, at: datetime) -> None:
        self.at = at
        self._ahead = at.timestamp() - monotonic()

    def now(self) -> datetime:
        """Return the current time of the database's clock."""
        return datetime.fromtimestamp(monotonic() + self._ahead, UTC)


class Work(NamedTuple):
    """One run at one link, as it was loaded or claimed. A tuple, because one is made for every run of every link.

    `edited` is the input that replaced the step's own at a retry by hand. `value` is the item itself, in a for_each.
    `variables` are those of the workspace, if the version reads any.
    """

    run: RunFacts
    item: int
    steps: LoadedSteps
    clock: Clock
    attempt: int = 1
    attempts: Sequence[Any] = ()
    suspect: bool = False
    edited: Json = None
    value: Json = None
    variables: Mapping[str, Json] | None = None


def clock_of(rows: Sequence[Row]) -> Clock:
    """Return one clock for all rows of a statement: the latest of their times, so that no step ends before it began."""
    return Clock(at=datetime.fromtimestamp(max((row[6] for row in rows), default=0.0), UTC))


def work_of(row: Row, *, clock: Clock, attempt: int, attempts: str | None, edited: str | None) -> Work:
    """Return the work of a row whose first columns are the facts of a run (runs.queries.claims)."""
    run_id, item, given, began, generation, steps, _, ending, below = row[:9]
    facts = RunFacts(run_id, loads(given), began, generation, ending, below)
    return Work(
        run=facts,
        item=item,
        steps=loads(steps) or NO_STEPS,
        clock=clock,
        attempt=attempt,
        attempts=loads(attempts) or (),
        edited=loads(edited),
    )


def stopped(step: PlannedStep, work: Work) -> bool:
    """Whether the run was stopped, as far as this step is concerned: the parts that follow the work are not stopped."""
    return not step.handler and lease.stopped((work.run.id, work.item, step.id, work.attempt))
