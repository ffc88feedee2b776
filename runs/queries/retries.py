"""The statements of retrying failed steps by hand, each over a set of runs.

Lock order as in runs.queries.records: the runs first, ids ascending, by a statement of its own; what is decided is read
by the next one.
"""

from __future__ import annotations

from runs.queries.database import Statement

# The runs among these that are in one of these states, locked until the transaction ends, and with them `children`,
# in one line with them because ids are the order of locks.
LOCK = Statement(
    "lock_runs",
    """
    SELECT id, version_id, state FROM runs_run
    WHERE (id = ANY(%(runs)s::uuid[]) AND state = ANY(%(states)s::text[])) OR id = ANY(%(children)s::uuid[])
    ORDER BY id FOR NO KEY UPDATE
    """,
)

# The steps that go again, and those that are to come again: their rows go, items included, and their dead letters
# are retried, too.
_AGAIN = """
    again AS (
        SELECT * FROM unnest(%(runs)s::uuid[], %(steps)s::text[], %(inputs)s::text[]) AS d(run_id, step, input)
    ),
    steps AS (
        UPDATE runs_steprun s SET state = 'retrying', finished_at = NULL, input = coalesce(a.input::jsonb, s.input),
            attempts = CASE WHEN jsonb_array_length(s.attempts) = 0 THEN s.attempts
                ELSE jsonb_set(s.attempts, '{-1,retried_at}', to_jsonb(clock_timestamp())) END
        FROM again a WHERE s.run_id = a.run_id AND s.step = a.step AND s.item = -1 AND s.state = 'failed'
        RETURNING s.run_id, s.step, s.item
    ),
    unblocked AS (
        DELETE FROM runs_steprun s
        USING unnest(%(blocked_runs)s::uuid[], %(blocked_steps)s::text[]) AS d(run_id, step)
        WHERE s.run_id = d.run_id AND s.step = d.step AND s.state <> 'running' RETURNING 1
    ),
    tickets AS (
        INSERT INTO runs_ticket (run_id, head, item, due_at, knock_at, sends, suspect)
        SELECT run_id, step, item, clock_timestamp(), clock_timestamp(), 0, false FROM steps RETURNING 1
    ),
    letters AS (
        UPDATE runs_deadletter l SET state = 'retried', resolved_at = clock_timestamp(), resolved_by_id = %(by)s,
            resolution = %(why)s
        FROM (SELECT run_id, step FROM again
              UNION ALL SELECT * FROM unnest(%(blocked_runs)s::uuid[], %(blocked_steps)s::text[])) AS a(run_id, step)
        WHERE l.run_id = a.run_id AND l.step = a.step AND l.state = 'open' RETURNING 1
    )
"""

# The runs are locked and failed. What is unblocked, and what on_failure and finally did, is to come again. A run that
# failed while it was paused goes on all the same, and takes up its place again even where its gate is full.
RETRY = Statement(
    "retry",
    f"""
    WITH {_AGAIN}
    UPDATE runs_run r SET state = 'running', finished_at = NULL, error = NULL, paused_at = NULL, paused_through = NULL,
        deadline = clock_timestamp()
        + (SELECT v.timeout FROM workflows_version v WHERE v.id = r.version_id) * interval '1 second'
    WHERE r.id IN (SELECT run_id FROM again) RETURNING r.id
    """,  # noqa: S608 - constant text only
)

# The same for runs whose compensation failed: one that failed goes again, the others after it come again in turn. The
# work stays failed, and its error stays what it was.
RETRY_UNDO = Statement(
    "retry_undo",
    f"""
    WITH {_AGAIN}
    UPDATE runs_run r SET state = 'compensating', ending = 'failed', finished_at = NULL,
        error = r.error - 'compensation', paused_at = NULL, paused_through = NULL
    WHERE r.id IN (SELECT run_id FROM again) RETURNING r.id
    """,  # noqa: S608 - constant text only
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
