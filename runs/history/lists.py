"""Find the newest rows of a list by the statement that is cheapest for its filters."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from runs.domain.states import RunState
from runs.queries.database import run
from runs.queries.lists import NEWEST, newest_in
from workflows.models import Workspace


def newest_runs(
    states: frozenset[RunState], *, workspace: Workspace, unpaused: bool
) -> Callable[[UUID | None, int], list[UUID]] | None:
    """(below this id or None, how many) -> ids of the workspace's runs in these states, newest first; no state: all.

    None where no statement of ours is cheaper than a sort: queued runs stand in an index by their turn.
    """
    few = bool(states) and RunState.SUCCEEDED not in states
    if few and RunState.QUEUED in states:
        return None

    def newest(before: UUID | None, limit: int) -> list[UUID]:
        bounds = {"before": before or UUID(int=2**128 - 1), "limit": limit}
        common = {"workspace": workspace.pk, "unpaused": unpaused, **bounds}
        named = sorted(state.value for state in states) or None
        found = run(newest_in(states), **common) if few else run(NEWEST, states=named, **common)
        return [row[0] for row in found]

    return newest
