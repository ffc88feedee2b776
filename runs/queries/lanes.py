"""In which line a queued run stands, in the words of the indexes that answer it.

The free lane is its workspace's, the gated one its gate's; a paused run stands in none. It is worked out where it is
asked. A stored generated column said it once: PostgreSQL read that column's expression anew, out of its catalog, for
each row that an UPDATE touched without touching what the column is made of, a fourteenth of the server's time.
"""

from __future__ import annotations

from runs.domain.states import Lane


def lane(table: str) -> str:
    """The run's Lane, as index run_queued has it, which holds them in order."""
    return (
        f"(CASE WHEN {table}.paused_at IS NOT NULL THEN {Lane.PAUSED.value}"
        f" WHEN {table}.gate_id IS NOT NULL THEN {Lane.GATED.value} ELSE {Lane.FREE.value} END)"
    )


def free(table: str) -> str:
    """That it is queued in the free lane, in the words of index run_backlog, which answers whether any is.

    Of the runs that waited until autovacuum comes each index keeps an entry: a hundred thousand after a busy hour. This
    one has the same key for all of a workspace, and folds them; run_queued, which has them in order, would be read
    from its beginning to its end by each start and each delivery, to find nothing.
    """
    return f"{_waits(table)} AND {table}.gate_id IS NULL"


def gated(table: str) -> str:
    """That it is queued in the gated lane; index run_backlog_gated, as above."""
    return f"{_waits(table)} AND {table}.gate_id IS NOT NULL"


def any_waits() -> str:
    """Whether any run is queued in either lane. By order, which no other index has: a plan may be made of empty tables.

    Newest first, for those that are still queued are mostly the newest.
    """
    look = "(SELECT true FROM runs_run r WHERE {} ORDER BY workspace_id DESC LIMIT 1)"
    return f"coalesce({look.format(free('r'))}, {look.format(gated('r'))}, false)"


def _waits(table: str) -> str:
    return f"{table}.started_at IS NULL AND {table}.finished_at IS NULL AND {table}.paused_at IS NULL"
