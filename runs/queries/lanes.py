"""The lanes in which runs are queued, as SQL conditions that match the conditions of the indexes.

The free lane is the queue of a workspace, the gated lane that of a gate; a paused run is in neither. The lane is an
expression in each query. As a stored generated column it cost a fourteenth of the server's time: for each row that an
UPDATE changed, in whatever column, PostgreSQL read the generated column's expression from its catalog.
"""

from __future__ import annotations

from runs.domain.states import Lane


def lane(table: str) -> str:
    """Return the expression for a run's Lane, exactly as it is in index run_queued, which has the queue in order."""
    return (
        f"(CASE WHEN {table}.paused_at IS NOT NULL THEN {Lane.PAUSED.value}"
        f" WHEN {table}.gate_id IS NOT NULL THEN {Lane.GATED.value} ELSE {Lane.FREE.value} END)"
    )


def free(table: str) -> str:
    """Return the condition that a run is queued in the free lane: that of index run_backlog, for "is any queued?".

    Until autovacuum comes, an index keeps entries of runs that are no longer queued: a hundred thousand after a busy
    hour. run_backlog has the same key for all runs of a workspace, so that PostgreSQL deduplicates them. In run_queued,
    which has the queue in order, each start and each delivery would read all of them, only to find no queued run.
    """
    return f"{_waits(table)} AND {table}.gate_id IS NULL"


def gated(table: str) -> str:
    """Return the condition that a run is queued in the gated lane: that of index run_backlog_gated, as above."""
    return f"{_waits(table)} AND {table}.gate_id IS NOT NULL"


def any_waits() -> str:
    """Return the expression for whether any run is queued in either lane.

    It orders by workspace so that only the two indexes named above fit, even in a plan that was made when the tables
    were empty. In descending order, because the runs that are still queued are mostly the newest.
    """
    look = "(SELECT true FROM runs_run r WHERE {} ORDER BY workspace_id DESC LIMIT 1)"
    return f"coalesce({look.format(free('r'))}, {look.format(gated('r'))}, false)"


def _waits(table: str) -> str:
    return f"{table}.started_at IS NULL AND {table}.finished_at IS NULL AND {table}.paused_at IS NULL"
