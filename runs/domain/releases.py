"""Releases: what follows from a record for one run, namely tickets to write, steps to skip, or the run's end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from actions.base import Json
from runs.domain.outcomes import NO_STEPS, LoadedSteps, RunFacts, StepResult
from runs.domain.states import RunState

# Seconds until the message for a ticket is repeated, doubled with each message.
REPEAT_SECONDS = 10.0


@dataclass(frozen=True)
class NextTicket:
    """A ticket to write: `due` seconds from now it can be claimed, `knock` seconds from now a message is sent for it.

    `sends` counts the messages that were, or are just being, sent for it.
    """

    head: str
    item: int = -1
    due: float = 0.0
    knock: float = 0.0
    sends: int = 0
    suspect: bool = False


class Release(NamedTuple):
    """What follows for one run. `state` is the state that the run changes to, None where it stays as it is.

    `ending` is the outcome of the run's work, if that is over and the run has not ended yet (runs.engine.endings).
    `culprit` is the step whose failure makes the run fail. The run's output or error is made of steps: `at_hand` has
    those that are known, `missing` names those that must be read first. `complete`: `output` is final already.
    `dead_reason` is the reason of a dead letter of the run itself: it fails, and no step of it has failed.
    """

    run: RunFacts
    tickets: tuple[NextTicket, ...] = ()
    skipped: tuple[StepResult, ...] = ()
    state: RunState | None = None
    output: Json = None
    error: dict[str, Json] | None = None
    at_hand: LoadedSteps = NO_STEPS
    missing: frozenset[str] = frozenset()
    culprit: str | None = None
    ending: RunState | None = None
    complete: bool = False
    dead_reason: str | None = None
