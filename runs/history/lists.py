"""Find the newest runs for a list, by the SQL statement that is cheapest for the list's filters."""

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
    """Return a function that finds the ids of the workspace's newest runs in these states (an empty set: in all).

    The function takes an id, below which to begin (None: at the newest), and how many ids to return, newest first.
    Instead of a function, None is returned if the states include queued but not succeeded: queued runs have an index in
    the order of their admission only, so no statement of ours is cheaper than a query with a sort.
    """
    few = bool(states) and RunState.SUCCEEDED not in states
    if few and RunState.QUEUED in states:
        return None

    def newest(before: UUID | None, limit: int) -> list[UUID]:
        bounds = {"before": before or UUID(int=2**128 - 1), "limit": limit}
        common = {"workspace": workspace.pk, "unpaused": unpaused, **bounds}
        named = sorted(state.value for state in states) or None
        rows = run(newest_in(states), **common) if few else run(NEWEST, states=named, **common)
        return [row[0] for row in rows]

    return newest
