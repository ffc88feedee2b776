"""Outcomes: what a worker reports about the steps that it performed, before it is recorded; and what a record won."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

from actions.base import Json, Spawn
from runs.domain.candidates import Candidate, Key
from runs.domain.states import StepState

_SUCCEEDED = StepState.SUCCEEDED
# Of each loaded step what expressions can read, by step id: output, state, error.
LoadedSteps = Mapping[str, dict[str, Json]]
NO_STEPS: LoadedSteps = MappingProxyType({})


@dataclass(frozen=True)
class Child:
    """The run that a sub-workflow step starts; it is inserted in the transaction that writes the step's row.

    `version_id` is None until the workflow's name, given in `asked`, was resolved.
    """

    id: UUID
    asked: Spawn
    version_id: UUID | None = None


class Streamed(NamedTuple):
    """The list of a for_each step whose items are the results of another one: they stay in that step's rows."""

    length: int


class StepResult(NamedTuple):
    """The result of one attempt at one step, as it is to be recorded.

    A tuple, because one is made for every step of every run. `config` is None where the config has no expressions. Only
    with state `retrying`: `delay_seconds`. Only with `waiting`: `wake_at`, `signal`, `signal_key`, `awaits` (the number
    of sub-workflow runs) and `items`. Only with a failure that nothing handles: `dead_reason`. `given` and `used` are
    the step's input and rendered config, which its dead letter keeps.
    """

    step: str
    state: StepState
    output: Json = None
    error: dict[str, Json] | None = None
    config: Json = None
    attempt: int = 1
    attempts: Sequence[Any] = ()
    started_at: datetime | None = None
    finished_at: datetime | None = None
    wake_at: datetime | None = None
    signal: str | None = None
    signal_key: str | None = None
    awaits: int | None = None
    child: Child | None = None
    # The whole list of a for_each step that begins.
    items: list[Json] | Streamed | None = None
    delay_seconds: float | None = None
    dead_reason: str | None = None
    given: Json = None
    used: Json = None
    suspect: bool = False


class HeldTicket(NamedTuple):
    """The fence of an inline link: the ticket that was read together with the inputs.

    `retried`: the head was tried before, and so has a row already.
    """

    id: int
    retried: bool = False


@dataclass(frozen=True)
class HeldClaim:
    """The fence of an effectful step: its row is still running, with this attempt and this process."""

    attempt: int
    process: UUID


@dataclass(frozen=True)
class HeldWait:
    """The fence of the end of a wait: this attempt still waits, and its time has come or, given `signal`, for that."""

    signal: str | None = None


@dataclass(frozen=True)
class HeldChildren(HeldWait):
    """The fence of a step that waits for a sub-workflow run: this attempt still waits, and its run has ended."""


class Outcome(NamedTuple):
    """What one delivery did for one run or item: the results of a link's steps in order, and the fence to record them.

    `steps` are the other steps that were loaded for it.
    """

    run: RunFacts
    fence: HeldTicket | HeldClaim | HeldWait
    results: tuple[StepResult, ...]
    steps: LoadedSteps = NO_STEPS
    item: int = -1

    @property
    def key(self) -> Key:
        """The run and the item that the results belong to."""
        return (self.run.id, self.item)

    @property
    def candidate(self) -> Candidate:
        """The candidate that this is the outcome of: its head is the first step."""
        return Candidate(self.run.id, self.item, self.results[0].step)

    @property
    def plain(self) -> bool:
        """Whether every step succeeded and none started a sub-workflow run: what follows depends on the plan alone."""
        for result in self.results:  # noqa: SIM110 - a generator takes twice as long
            if result.state is not _SUCCEEDED or result.child is not None:
                return False
        return True

    @property
    def last(self) -> StepResult:
        """The last result, which decides how the run continues."""
        return self.results[-1]


@dataclass(frozen=True)
class Recorded:
    """What a record wrote, and what is to be done after its commit.

    `won` are the outcomes whose fence held, each by its run, item and first step. `handed_on` are the candidates whose
    ticket is written as sent, because the caller itself takes them further. `released`: other tickets that are due, or
    sub-workflow runs, were written too, and dispatch should look. `ended` are runs that ended, as (run id, state);
    `below` are those of them that have a parent. `failed` are the results that became dead letters. `wakes` are ids of
    waiting step rows that are due now, because their sub-workflow run or items of theirs have ended. `left` are
    outcomes that a lock kept out: they are to be recorded again.
    """

    won: frozenset[Candidate] = frozenset()
    handed_on: tuple[Candidate, ...] = ()
    released: bool = False
    ended: tuple[tuple[UUID, str], ...] = ()
    failed: tuple[tuple[UUID, StepResult], ...] = ()
    below: tuple[UUID, ...] = ()
    wakes: tuple[int, ...] = ()
    left: tuple[Outcome, ...] = ()

    def joined(self, other: Recorded) -> Recorded:
        """Return both records as one."""
        return Recorded(
            won=self.won | other.won,
            handed_on=self.handed_on + other.handed_on,
            released=self.released or other.released,
            ended=self.ended + other.ended,
            failed=self.failed + other.failed,
            below=self.below + other.below,
            wakes=self.wakes + other.wakes,
            left=self.left + other.left,
        )


# One step of one run: run, step and item.
StepKey = tuple[UUID, str, int]


@dataclass(frozen=True)
class Death:
    """A worker child that died, and what the message that it was performing says, not decoded yet.

    `pid` is None where no child had begun with the delivery.
    """

    pid: int | None
    runs: tuple[str, ...]
    head: str


class RunFacts(NamedTuple):
    """The facts of a run that its steps need. `began` is in seconds since 1970.

    `outcome` is the outcome of its work, None until that is over. `below`: whether it has a parent; false also where
    that was not read.
    """

    id: UUID
    input: Json
    began: float
    generation: int = 1
    outcome: str | None = None
    below: bool = False
