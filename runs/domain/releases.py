"""What is to happen next to a run: the tickets to write, the steps to skip, or its end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from actions.base import Json
from runs.domain.outcomes import NO_STEPS, LoadedSteps, RunFacts, StepResult
from runs.domain.states import RunState

# Seconds until a ticket that is sent is knocked for again, doubled with each send.
REPEAT_SECONDS = 10.0


@dataclass(frozen=True)
class NextTicket:
    """A ticket to write: due and knocked for so many seconds from now, sent so many times already."""

    head: str
    item: int = -1
    due: float = 0.0
    knock: float = 0.0
    sends: int = 0
    suspect: bool = False


class Release(NamedTuple):
    """What follows for one run. `state` is None while it goes on as it is.

    `ending` is what the run's work came to, where that is known and the run has not ended yet (runs.engine.endings).

    `missing` names steps that the run's output or error is made of and that are not at hand; `culprit` is the step
    whose failure is the run's; `told`: its output is there already.
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
    told: bool = False
