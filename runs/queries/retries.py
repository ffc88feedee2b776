"""The statements of the verbs by hand: retry, replay, discard. Each over a set; a cancel is in ending_queries.

Lock order as in runs.queries.records: the runs first, ids ascending, by a statement of its own; what is decided is read
by the next one.
"""

from __future__ import annotations

from runs.queries.database import Statement
from runs.queries.starts import PAUSED_WITH_RECIPE

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

# A replay begins as a queued run with the rows of the steps that it keeps.
REPLAY = Statement(
    "replay",
    f"""
    WITH recipe AS MATERIALIZED (
        -- The locks are those of runs.queries.starts.START.
        SELECT w.paused_at FROM workflows_version v JOIN workflows_workflow w ON w.id = v.workflow_id
        WHERE v.id = %(version)s FOR KEY SHARE OF w, v
    ),
    made AS (
        INSERT INTO runs_run (id, workspace_id, workflow_id, version_id, state, source, labels, input, generation,
                              replay_of_id, entry, idempotency_key, priority, gate_id, paused_at, paused_through)
        SELECT %(new)s, o.workspace_id, o.workflow_id, %(version)s, 'queued', 'replay', o.labels,
               coalesce(%(input)s::jsonb, o.input), o.generation + 1, o.id, %(entry)s::text[], %(key)s, o.priority,
               %(gate)s::bigint, {PAUSED_WITH_RECIPE}
        FROM recipe, runs_run o WHERE o.id = %(old)s FOR KEY SHARE OF o
        ON CONFLICT (workflow_id, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
        RETURNING id
    ),
    kept AS (
        INSERT INTO runs_steprun (run_id, step, item, state, attempt, attempts, input, config, output, error,
                                  started_at, finished_at)
        SELECT m.id, s.step, s.item, s.state, s.attempt, s.attempts, s.input, s.config, s.output, s.error,
               s.started_at, s.finished_at
        FROM made m, runs_steprun s WHERE s.run_id = %(old)s AND s.step = ANY(%(kept)s::text[]) ORDER BY s.id
        RETURNING 1
    )
    SELECT id FROM made
    """,  # noqa: S608 - constant text only
)

DISCARD = Statement(
    "discard",
    """
    WITH mine AS MATERIALIZED (
        SELECT id FROM runs_deadletter WHERE id = ANY(%(letters)s::uuid[]) AND state = 'open'
        ORDER BY id FOR NO KEY UPDATE
    )
    UPDATE runs_deadletter l SET state = 'discarded', resolved_at = clock_timestamp(), resolved_by_id = %(by)s,
        resolution = %(why)s
    FROM mine WHERE l.id = mine.id RETURNING l.id, l.run_id, l.step
    """,
)

INTERVENE = Statement(
    "intervene",
    """
    INSERT INTO runs_intervention (run_id, verb, by_id, why, details)
    SELECT d.run_id, %(verb)s, %(by)s, %(why)s, d.details::jsonb
    FROM unnest(%(runs)s::uuid[], %(details)s::text[]) AS d(run_id, details)
    """,
)
