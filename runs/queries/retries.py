"""The statements of retries by hand of failed steps, each for a set of runs.

Lock order as in runs.queries.records: a separate statement locks the runs, by ascending id; the next one reads what is
to be decided.
"""

from __future__ import annotations

from runs.queries.database import Statement

# Lock those of the runs that are in one of these states, also those `above` them that have failed or whose work goes
# on, and `children`, their sub-workflow runs: together, because runs are locked in the order of their ids.
LOCK = Statement(
    "lock_runs",
    """
    SELECT id, version_id, state, state = 'failed' OR (state IN ('running', 'waiting') AND ending IS NULL)
    FROM runs_run
    WHERE (id = ANY(%(runs)s::uuid[]) AND state = ANY(%(states)s::text[])) OR id = ANY(%(children)s::uuid[])
       OR (id = ANY(%(above)s::uuid[])
           AND (state = 'failed' OR (state IN ('running', 'waiting') AND ending IS NULL)))
    ORDER BY id FOR NO KEY UPDATE
    """,
)

# `again` are the failed steps to retry. The rows of the steps that were blocked by them are deleted, items included, so
# that they can be released again. The dead letters of both become `retried`.
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

# The runs are locked and failed. Steps that were blocked, and those of on_failure and finally, can be released again. A
# run that failed while it was paused is resumed by this, and it takes a slot even if its gate is full.
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

# The same for runs whose compensation failed: the first failed compensation is retried, and the other failed ones are
# released again after it. The work stays failed, and its error stays.
RETRY_UNDO = Statement(
    "retry_undo",
    f"""
    WITH {_AGAIN}
    UPDATE runs_run r SET state = 'compensating', ending = 'failed', finished_at = NULL,
        error = r.error - 'compensation', paused_at = NULL, paused_through = NULL
    WHERE r.id IN (SELECT run_id FROM again) RETURNING r.id
    """,  # noqa: S608 - constant text only
)

# Those of these failed runs whose work cannot be retried, because they timed out or were terminated, or because their
# compensation has begun. For each, whether its compensation can be retried: it has begun and was not terminated.
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
