"""What a worker says of the steps it performed, on its way to being recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

from actions.base import Json, Spawn
from runs.domain.states import StepState

_SUCCEEDED = StepState.SUCCEEDED
# (run, item): what every verb takes a set of. The item is -1 outside a for_each.
Key = tuple[UUID, int]

# What expressions see of each loaded step: output, state, error.
LoadedSteps = Mapping[str, dict[str, Json]]
NO_STEPS: LoadedSteps = MappingProxyType({})


@dataclass(frozen=True)
class Child:
    """The run that a sub-workflow step starts, written with the step's row; `version_id` once it is known which."""

    id: UUID
    asked: Spawn
    version_id: UUID | None = None


class StepResult(NamedTuple):
    """One step as it is to be recorded. A tuple, for there is one for every step of every run.

    `config` is None where the config has no expressions. `delay_seconds` goes with `retrying`, `wake_at`, `signal`,
    `signal_key` and `awaits` (how many child runs) with `waiting`, `dead_reason` with a failure that nothing handles;
    `given` and `used` are the input and the config that its dead letter keeps.
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
    # The list of a for_each that begins.
    items: list[Json] | None = None
    delay_seconds: float | None = None
    dead_reason: str | None = None
    given: Json = None
    used: Json = None
    suspect: bool = False


class HeldTicket(NamedTuple):
    """The fence of an inline link: the ticket read together with the inputs. `retried`: the head has a row already."""

    id: int
    retried: bool = False


@dataclass(frozen=True)
class HeldClaim:
    """The fence of an effectful step: this attempt, by this process."""

    attempt: int
    process: UUID


@dataclass(frozen=True)
class HeldWait:
    """The fence of a wake-up: this attempt still waits, and its time has come, or it is this signal's."""

    signal: str | None = None


@dataclass(frozen=True)
class HeldChildren(HeldWait):
    """The fence of what waits for child runs: it still waits, and none is left."""


class Outcome(NamedTuple):
    """What was done for one run: the results of a link's steps in order, under the fence that lets them in."""

    run: RunFacts
    fence: HeldTicket | HeldClaim | HeldWait
    results: tuple[StepResult, ...]
    steps: LoadedSteps = NO_STEPS
    item: int = -1

    @property
    def key(self) -> Key:
        """The run and item that it is about."""
        return (self.run.id, self.item)

    @property
    def plain(self) -> bool:
        """Whether every step succeeded and none started another run: what follows is up to the plan alone."""
        for result in self.results:  # noqa: SIM110 - a generator takes twice as long
            if result.state is not _SUCCEEDED or result.child is not None:
                return False
        return True

    @property
    def last(self) -> StepResult:
        """The result that decides how the run goes on."""
        return self.results[-1]


@dataclass(frozen=True)
class Recorded:
    """What a record won, and what to do about it after its commit.

    `handed_on` are the winners whose ticket for the chain's next link is written; `released` says that other
    tickets or child runs were; `ended` are (run id, state) of runs that came to their end, `below` those of them that
    have a parent; `failed` are results that made a dead letter; `wakes` are ids of step rows whose child runs have now
    all ended; `left` are outcomes that a lock kept out, to be recorded again.
    """

    won: frozenset[Key] = frozenset()
    handed_on: tuple[Key, ...] = ()
    released: bool = False
    ended: tuple[tuple[UUID, str], ...] = ()
    failed: tuple[tuple[UUID, StepResult], ...] = ()
    below: tuple[UUID, ...] = ()
    wakes: tuple[int, ...] = ()
    left: tuple[Outcome, ...] = ()

    def joined(self, other: Recorded) -> Recorded:
        """Both records as one."""
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
    """A child that died, and the delivery that it had in hand. `pid` is None where it never began."""

    pid: int | None
    runs: tuple[str, ...]
    head: str


class RunFacts(NamedTuple):
    """What a run knows of itself. `began` is in seconds since 1970; `outcome` is None until its work is over.

    `below`: whether it has a parent, as far as that was asked.
    """

    id: UUID
    input: Json
    began: float
    generation: int = 1
    outcome: str | None = None
    below: bool = False


# What expressions see of each step that has a row: output, state, error.
Steps = Mapping[str, dict[str, Json]]
