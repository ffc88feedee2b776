"""Write down what somebody did to runs, in the verb's own transaction."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from actions.base import Json
from runs.domain.actor import Actor
from runs.queries import interventions, values
from runs.queries.database import run


def write(verb: str, told: Mapping[UUID, Mapping[str, Json]], *, actor: Actor) -> None:
    """Write down what was done to each run, with its details, in the verb's own transaction."""
    if told:
        run(
            interventions.INTERVENE,
            verb=verb,
            by=actor.user_id,
            why=actor.reason,
            runs=list(told),
            details=[values.dumps(dict(details)) for details in told.values()],
        )
