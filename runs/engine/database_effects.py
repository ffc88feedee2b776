"""What actions of the catalogue do to the database (actions.database), in the transaction that records their step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from actions.base import Json, Permanent
from actions.database import StateChange, StateEntry
from runs.engine import state
from runs.engine.state import Place
from runs.queries import labels as label_queries
from runs.queries import values
from runs.queries.database import run
from workflows.definitions.definition import Definition


class DatabaseEffects:
    """The effects of one attempt of a transactional step."""

    def __init__(self, run_id: UUID) -> None:
        self._run = run_id

    def set_labels(self, labels: Mapping[str, str], /, *, remove: Sequence[str]) -> Mapping[str, Json]:
        """Add labels to the run, remove others, and return all that it has then. Raises Permanent for too many."""
        given = values.dumps(dict(labels))
        [[text]] = run(label_queries.SET_LABELS, run=self._run, labels=given, remove=list(remove))
        found: dict[str, Json] = values.loads(text)
        if len(found) > Definition.MAX_LABELS:
            most = f"{Definition.MAX_LABELS:,} are the limit; remove some"
            raise Permanent(f"set_labels: the run would have {len(found):,} labels; {most}", kind="labels")
        return found

    def read_state(self, key: str, /, *, own: bool) -> StateEntry | None:
        """Return what is stored under a key of the run's workflow (`own`), or else of its workspace."""
        return state.read(Place(self._run, key, own))

    def change_state(
        self, key: str, change: StateChange, /, *, own: bool
    ) -> tuple[bool, StateEntry | None, StateEntry | None]:
        """Change a key; return whether it was changed, what was there before, and what is there now."""
        return state.change(Place(self._run, key, own), change)

    def increment_state(
        self, key: str, by: int | float, /, *, ttl_seconds: float | None, own: bool
    ) -> tuple[int | float, StateEntry]:
        """Add to the number under a key; return the number before, and the entry now."""
        return state.increment(Place(self._run, key, own), by, ttl_seconds=ttl_seconds)
