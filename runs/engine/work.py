"""What an attempt begins from: one run at one link, and the database's clock."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from time import monotonic
from typing import Any, NamedTuple

from actions.base import Json
from runs.domain.outcomes import LoadedSteps, RunFacts
from runs.engine import lease
from runs.planning.steps import PlannedStep


class Clock:
    """The database's clock as this process reads it: its time at the load, moved on by the monotonic clock."""

    def __init__(self, at: datetime) -> None:
        self.at = at
        self._ahead = at.timestamp() - monotonic()

    def now(self) -> datetime:
        """Now, by the database's clock."""
        return datetime.fromtimestamp(monotonic() + self._ahead, UTC)


class Work(NamedTuple):
    """One run at one link, as it was loaded or claimed. A tuple, for there is one for every run of every link.

    `edited` is the input that somebody put in the place of the step's own when retrying it by hand; `value` is what
    the item is, in a for_each.
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


def stopped(step: PlannedStep, work: Work) -> bool:
    """Whether the run's work was stopped. What follows the work is not cut short by that."""
    return not step.handler and lease.stopped((work.run.id, work.item, step.id, work.attempt))
