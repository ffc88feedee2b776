"""Find the newest runs for a list, by the SQL statement that is cheapest for the list's filters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from uuid import UUID

from runs.domain.states import RunState
from runs.queries.database import run
from runs.queries.lists import NEWEST, NEWEST_WITHIN, newest_in
from workflows.models import Workspace

# Ids are made from the clock of a web process, `created_at` is the database's: they may differ, but not by more.
_SLACK = timedelta(days=1)
LOWEST, HIGHEST = UUID(int=0), UUID(int=2**128 - 1)


@dataclass(frozen=True)
class Span:
    """A range of times, both ends exclusive, in which something was created, or ended; None leaves an end open."""

    created_after: datetime | None = None
    created_before: datetime | None = None
    finished_after: datetime | None = None
    finished_before: datetime | None = None

    @property
    def since(self) -> UUID:
        """An id that is lower than those of all rows in the range. Ids begin with the time at which they were made."""
        return LOWEST if self.created_after is None else _first_id(self.created_after - _SLACK)

    @property
    def before(self) -> UUID:
        """An id that is higher than those of all rows in the range: what ends before a time was made before it."""
        ends = [end for end in (self.created_before, self.finished_before) if end is not None]
        return _first_id(min(ends) + _SLACK) if ends else HIGHEST


def _first_id(moment: datetime) -> UUID:
    """Return the lowest id (a UUID of version 7) of this millisecond."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)


def newest_runs(
    states: frozenset[RunState], *, workspace: Workspace, unpaused: bool, span: Span | None = None
) -> Callable[[UUID | None, int], list[UUID]] | None:
    """Return a function that finds the ids of the workspace's newest runs in these states (an empty set: in all).

    With a span only those in it.

    The function takes an id, below which to begin (None: at the newest), and how many ids to return, newest first.
    Instead of a function, None is returned if the states include queued but not succeeded: queued runs have an index in
    the order of their admission only, so no statement of ours is cheaper than a query with a sort.
    """
    few = bool(states) and RunState.SUCCEEDED not in states
    if few and RunState.QUEUED in states:
        return None

    def newest(before: UUID | None, limit: int) -> list[UUID]:
        end = min(before or HIGHEST, span.before if span else HIGHEST)
        common = {"workspace": workspace.pk, "unpaused": unpaused, "before": end, "limit": limit}
        if span is not None:
            common |= {"since": span.since, **asdict(span)}
        named = sorted(state.value for state in states) or None
        if few:
            return [row[0] for row in run(newest_in(states, within=span is not None), **common)]
        return [row[0] for row in run(NEWEST if span is None else NEWEST_WITHIN, states=named, **common)]

    return newest
