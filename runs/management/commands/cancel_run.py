"""Cancel runs by hand."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from runs.control import preconditions, stops
from runs.domain.actor import Actor
from runs.management.commands._over_runs import OverRuns


class Command(OverRuns):
    help = (
        "Cancel runs that have not ended. Exit status: 0 when at least one was cancelled, 1 when none was, 2 bad input."
    )
    done = "cancelled"

    def verb(self, run_ids: Sequence[UUID], *, actor: Actor) -> frozenset[UUID]:
        return stops.cancel(run_ids, actor=actor)

    def cannot(self, run_id: UUID, state: str) -> str:
        return preconditions.cannot_cancel(run_id, state)
