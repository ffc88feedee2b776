"""The statements of how runs end: stop, compensate, run timeout. None of them is on the path of a run that goes well.

Lock order as in runs.queries.records. Where a statement does not lock the runs itself, its transaction holds them
already.
"""

from __future__ import annotations

from runs.queries.database import Statement

# The runs among these whose work may still be stopped; with `overdue`, only those past their deadline.
LOCK_STOPPABLE = Statement(
    "lock_stoppable",
    """
    SELECT id, version_id, state FROM runs_run
    WHERE id = ANY(%(runs)s::uuid[]) AND state IN ('queued', 'running', 'waiting') AND ending IS NULL
      AND (NOT %(overdue)s OR (deadline <= clock_timestamp() AND paused_at IS NULL))
    ORDER BY id FOR NO KEY UPDATE
    """,
)

# The runs among these that have not ended, and what their work came to where that is known.
LOCK_LIVE = Statement(
    "lock_live",
    """
    SELECT id, state, ending FROM runs_run
    WHERE id = ANY(%(runs)s::uuid[]) AND finished_at IS NULL
    ORDER BY id FOR NO KEY UPDATE
    """,
)

# What is due, retrying or waiting ends here, and so does a pause: it would hold what is to follow. A running step is
# left to its worker: its outcome is still written.
STOP = Statement(
    "stop",
    """
    WITH theirs AS MATERIALIZED (
        -- In the order in which claims lock them, and before the first step row.
        SELECT id FROM runs_ticket WHERE run_id = ANY(%(runs)s::uuid[]) ORDER BY run_id, item, head FOR UPDATE
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

# An outcome of a step whose run is being stopped: what would be tried again or wait is cancelled instead.
CUT_SHORT = Statement(
    "cut_short",
    """
    UPDATE runs_steprun s SET state = 'cancelled', wake_at = NULL, finished_at = clock_timestamp()
    FROM unnest(%(runs)s::uuid[], %(items)s::int[], %(steps)s::text[]) AS d(run_id, item, step)
    WHERE s.run_id = d.run_id AND s.item = d.item AND s.step = d.step AND s.state IN ('retrying', 'waiting')
    """,
)

# Number steps that succeeded, after those of their run that have a number: clocks tie, and the run's lock does not.
NUMBER = Statement(
    "number",
    """
    WITH last AS (
        SELECT run_id, max(seq) AS seq FROM runs_steprun WHERE run_id = ANY(%(runs)s::uuid[]) GROUP BY run_id
    )
    UPDATE runs_steprun s SET seq = coalesce(last.seq, 0) + d.place
    FROM unnest(%(runs)s::uuid[], %(items)s::int[], %(steps)s::text[]) WITH ORDINALITY AS d(run_id, item, step, place)
    JOIN last ON last.run_id = d.run_id
    WHERE s.run_id = d.run_id AND s.item = d.item AND s.step = d.step AND s.state = 'succeeded'
    """,
)

COMPENSATED = Statement(
    "compensated",
    """
    UPDATE runs_steprun s SET state = 'compensated'
    FROM unnest(%(runs)s::uuid[], %(items)s::int[], %(steps)s::text[]) AS d(run_id, item, step)
    WHERE s.run_id = d.run_id AND s.item = d.item AND s.step = d.step AND s.state = 'succeeded'
    """,
)

# Steps that can be undone, the last success first. One that a replay kept has no number: another run did it.
UNDOABLE = Statement(
    "undoable",
    """
    SELECT run_id, step FROM runs_steprun
    WHERE run_id = ANY(%(runs)s::uuid[]) AND item = -1 AND state = 'succeeded' AND seq IS NOT NULL
    ORDER BY run_id, seq DESC
    """,
)

# Runs in which anything is still done or to be done, items of a step included. Rows and tickets in one snapshot.
UNDER_WAY = Statement(
    "under_way",
    """
    SELECT run_id FROM runs_steprun
    WHERE run_id = ANY(%(runs)s::uuid[]) AND state IN ('running', 'retrying', 'waiting')
    UNION
    SELECT run_id FROM runs_ticket WHERE run_id = ANY(%(runs)s::uuid[])
    """,
)

# Of failed runs, those whose work cannot go on: they were stopped amid it, or what they did was undone. With each,
# whether its compensation can: it has begun, and nobody gave it up.
PAST_RETRY = Statement(
    "past_retry",
    """
    SELECT r.id, u.undone AND r.error->'terminated' IS NULL
    FROM runs_run r CROSS JOIN LATERAL (SELECT EXISTS (
        SELECT 1 FROM runs_steprun s WHERE s.run_id = r.id AND starts_with(s.step, %(undo)s)) AS undone) u
    WHERE r.id = ANY(%(runs)s::uuid[])
      AND (r.error->>'reason' = 'timed_out' OR r.error->'terminated' IS NOT NULL OR u.undone)
    """,
)

# Index run_deadline, as far as it is due: a volatile function is no index condition, hence the SELECT. Locks nothing:
# stopping locks the runs, and looks again.
OVERDUE = Statement(
    "overdue",
    """
    SELECT id FROM runs_run
    WHERE deadline <= (SELECT clock_timestamp()) AND ending IS NULL AND paused_at IS NULL
      AND state IN ('running', 'waiting')
    ORDER BY deadline LIMIT %(limit)s
    """,
)

# Of what gave up in runs that are locked and live.
INSERT_DEAD_LETTERS = Statement(
    "insert_dead_letters",
    """
    INSERT INTO runs_deadletter (id, workspace_id, workflow_id, labels, run_id, step, item, state, reason, error, input,
                                 config, attempts, resolution, alert_due)
    SELECT d.id, r.workspace_id, r.workflow_id, r.labels, d.run_id, d.step, d.item, 'open', d.reason, d.error::jsonb,
           d.input::jsonb, d.config::jsonb, d.attempts::jsonb, '', coalesce(w.alert_workflow_id <> r.workflow_id, false)
    FROM unnest(%(ids)s::uuid[], %(runs)s::uuid[], %(steps)s::text[], %(items)s::int[], %(reasons)s::text[],
                %(errors)s::text[], %(inputs)s::text[], %(configs)s::text[], %(histories)s::text[])
         AS d(id, run_id, step, item, reason, error, input, config, attempts)
    JOIN runs_run r ON r.id = d.run_id JOIN workflows_workspace w ON w.id = r.workspace_id
    """,
)
