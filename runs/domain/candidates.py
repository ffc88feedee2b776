"""Candidates: the steps of runs that a message names, for its delivery to load or claim."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple
from uuid import UUID

# (run, item): a run, or one item of a for_each step of it. The item is -1 outside a for_each.
Key = tuple[UUID, int]


class Candidate(NamedTuple):
    """A step of a run, or one item of it, that may have a ticket. `head` is the step's id; no item is -1."""

    run_id: UUID
    item: int
    head: str

    @property
    def key(self) -> Key:
        """The run and the item."""
        return (self.run_id, self.item)


def heads_of(candidates: Iterable[Candidate]) -> list[str]:
    """Return the heads of the candidates, each once, in their order."""
    return list(dict.fromkeys([one.head for one in candidates]))
