"""The statement that starts a replay: a new run with copies of some step rows of an old one."""

from __future__ import annotations

from runs.queries.database import Statement
from runs.queries.hashes import hashed
from runs.queries.starts import PAUSED_WITH_RECIPE

# Insert a queued run, with the rows of the steps that the replay keeps.
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

# The run that has a key in the workflow of this run: what it is a replay of, and where its input is not the one that is
# given (NULL: that of this run), the hashes of both. Two index scans.
KNOWN_REPLAY = Statement(
    "known_replay",
    f"""
    SELECT f.id, f.replay_of_id, CASE WHEN f.input <> o.input THEN {hashed("f.input")} END,
           CASE WHEN f.input <> o.input THEN {hashed("o.input")} END
    FROM (SELECT workflow_id, coalesce(%(input)s::jsonb, input) AS input FROM runs_run WHERE id = %(old)s) o
    CROSS JOIN LATERAL (
        SELECT id, replay_of_id, input FROM runs_run
        WHERE workflow_id = o.workflow_id AND idempotency_key = %(key)s LIMIT 1
    ) f
    """,  # noqa: S608 - constant text only
)
