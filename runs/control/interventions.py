"""Record what a user, or a command, did to runs: one Intervention for each run."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from actions.base import Json
from runs.domain.actor import Actor
from runs.queries import interventions, values
from runs.queries.database import run


def write(verb: str, details_by_run: Mapping[UUID, Mapping[str, Json]], *, actor: Actor) -> None:
    """Insert an Intervention for each run with its details. To be called in the transaction that changes the runs."""
    if details_by_run:
        run(
            interventions.INTERVENE,
            verb=verb,
            by=actor.user_id,
            why=actor.reason,
            runs=list(details_by_run),
            details=[values.dumps(dict(details)) for details in details_by_run.values()],
        )
