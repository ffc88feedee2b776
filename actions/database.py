"""`context.database`: what actions of the catalogue do to the database, in the transaction that records their step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from actions.base import Json


class Database(Protocol):
    """Statements for transactional actions only: they take effect if the step is recorded, and else not at all."""

    def set_labels(self, labels: Mapping[str, str], /, *, remove: Sequence[str]) -> Mapping[str, Json]:
        """Add labels to the run, remove others, and return all that it has then. Raises Permanent for too many."""
        ...
