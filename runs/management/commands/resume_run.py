"""Resume runs by hand."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from runs.control import pauses, preconditions
from runs.domain.actor import Actor
from runs.management.commands._over_runs import OverRuns


class Command(OverRuns):
    help = "Let paused runs go on. Exit status: 0 when at least one was resumed, 1 when none was, 2 bad input."
    done = "resumed"

    def verb(self, run_ids: Sequence[UUID], *, actor: Actor) -> frozenset[UUID]:
        return pauses.resume(run_ids, actor=actor)

    def cannot(self, run_id: UUID, state: str) -> str:
        return preconditions.cannot_resume(state)
