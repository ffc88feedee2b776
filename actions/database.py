"""`context.database`: what actions of the catalogue do to the database, in the transaction that records their step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from actions.base import Json


@dataclass(frozen=True)
class StateEntry:
    """A value that runs share. `version` changes with every change of it, and never comes back.

    `expires_at` is a moment in ISO 8601, or None.
    """

    value: Json
    version: int
    expires_at: str | None = None

    def as_json(self) -> dict[str, Json]:
        """Return the entry as outputs have it."""
        return {"value": self.value, "version": self.version, "expires_at": self.expires_at}


@dataclass(frozen=True)
class StateChange:
    """A new value, or a deletion, and what must be there for it: a version (0: none), or a value (in a tuple)."""

    value: Json = None
    delete: bool = False
    ttl_seconds: float | None = None
    if_version: int | None = None
    if_value: tuple[Json] | None = None


class Database(Protocol):
    """Statements for transactional actions only: they take effect if the step is recorded, and else not at all."""

    def set_labels(self, labels: Mapping[str, str], /, *, remove: Sequence[str]) -> Mapping[str, Json]:
        """Add labels to the run, remove others, and return all that it has then. Raises Permanent for too many."""
        ...

    def read_state(self, key: str, /, *, own: bool) -> StateEntry | None:
        """Return what is stored under a key of the run's workflow (`own`), or else of its workspace."""
        ...

    def change_state(
        self, key: str, change: StateChange, /, *, own: bool
    ) -> tuple[bool, StateEntry | None, StateEntry | None]:
        """Change a key; return whether it was changed, what was there before, and what is there now.

        Raises Permanent for a value that is too large, and for a workspace that has too many keys.
        """
        ...

    def increment_state(
        self, key: str, by: int | float, /, *, ttl_seconds: float | None, own: bool
    ) -> tuple[int | float, StateEntry]:
        """Add to the number under a key; return the number before, and the entry now. Raises Permanent for a text."""
        ...
