"""What actions of the catalogue do to the database (actions.database), in the transaction that records their step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from actions.base import Json, Permanent
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
