"""The statements that cancel, terminate and time out runs."""

from __future__ import annotations

from runs.queries.database import Statement

# Lock those of the runs whose work can still be stopped; with `overdue`, only those that are past their deadline.
LOCK_STOPPABLE = Statement(
    "lock_stoppable",
    """
    SELECT id, version_id, state FROM runs_run
    WHERE id = ANY(%(runs)s::uuid[]) AND state IN ('queued', 'running', 'waiting') AND ending IS NULL
      AND (NOT %(overdue)s OR (deadline <= clock_timestamp() AND paused_at IS NULL))
    ORDER BY id FOR NO KEY UPDATE
    """,
)

# Lock those of the runs that have not ended; returned with the outcome of their work, if that is over.
LOCK_LIVE = Statement(
    "lock_live",
    """
    SELECT id, state, ending FROM runs_run
    WHERE id = ANY(%(runs)s::uuid[]) AND finished_at IS NULL
    ORDER BY id FOR NO KEY UPDATE
    """,
)

# Delete the runs' tickets, cancel steps that wait or are to be retried, and end a pause, which would hold back the
# parts that follow. A running step is not touched: its worker still records its outcome.
STOP = Statement(
    "stop",
    """
    WITH theirs AS MATERIALIZED (
        -- In the order in which claims lock them, and before the first step row.
        SELECT id FROM runs_ticket WHERE run_id = ANY(%(runs)s::uuid[]) ORDER BY run_id, head, item FOR UPDATE
    ),
    locked AS (SELECT count(*) AS n FROM theirs),
    tickets AS (DELETE FROM runs_ticket t USING locked, theirs WHERE locked.n > 0 AND t.id = theirs.id RETURNING 1),
    open AS MATERIALIZED (
        SELECT s.id FROM locked, runs_steprun s
        WHERE locked.n >= 0 AND s.run_id = ANY(%(runs)s::uuid[]) AND s.state IN ('waiting', 'retrying')
        ORDER BY s.run_id, s.step, s.item FOR NO KEY UPDATE OF s
    ),
    steps AS (
        UPDATE runs_steprun s SET state = 'cancelled', wake_at = NULL, finished_at = clock_timestamp()
        FROM open WHERE s.id = open.id RETURNING 1
    )
    UPDATE runs_run SET paused_at = NULL, paused_through = NULL
    WHERE id = ANY(%(runs)s::uuid[]) AND paused_at IS NOT NULL
    """,
)

CANCEL_QUEUED = Statement(
    "cancel_queued",
    """
    UPDATE runs_run SET state = 'cancelled', finished_at = clock_timestamp(), paused_at = NULL, paused_through = NULL
    WHERE id = ANY(%(runs)s::uuid[]) AND state = 'queued'
    """,
)

# Index run_deadline, only its due part. clock_timestamp() is in a SELECT because a volatile function cannot be an index
# condition. Locks nothing: stopping locks the runs and checks them again.
OVERDUE = Statement(
    "overdue",
    """
    SELECT id FROM runs_run
    WHERE deadline <= (SELECT clock_timestamp()) AND ending IS NULL AND paused_at IS NULL
      AND state IN ('running', 'waiting')
    ORDER BY deadline LIMIT %(limit)s
    """,
)

# Those of these tickets, each given with its run, that are gone because the run was stopped, has ended or is gone.
# Primary keys; locks nothing.
OVER = Statement(
    "over",
    """
    SELECT d.ticket FROM unnest(%(tickets)s::bigint[], %(runs)s::uuid[]) d(ticket, run_id)
    WHERE NOT EXISTS (SELECT 1 FROM runs_ticket t WHERE t.id = d.ticket)
      AND NOT EXISTS (SELECT 1 FROM runs_run r WHERE r.id = d.run_id AND r.finished_at IS NULL AND r.ending IS NULL)
    """,
)
