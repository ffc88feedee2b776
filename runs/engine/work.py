"""The input of an attempt: one run at one link, as it was loaded or claimed, and the database's clock."""

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
    """Whether the run was stopped, as far as this step is concerned: the parts that follow the work are not stopped."""
    return not step.handler and lease.stopped((work.run.id, work.item, step.id, work.attempt))
