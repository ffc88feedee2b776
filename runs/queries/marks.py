"""The statements by which a record reads a run, or a part of it. An earlier statement has locked the runs."""

from __future__ import annotations

from runs.queries.database import Statement

# Rows and tickets in one snapshot, after the lock. With two statements, a step that is claimed between them would be in
# neither result.
VIEW = Statement(
    "view",
    """
    SELECT run_id, step, CASE WHEN state = 'waiting' AND open_items > 0 THEN 'running' ELSE state END,
           state = 'skipped' AND error IS NOT NULL FROM runs_steprun
    WHERE run_id = ANY(%(runs)s::uuid[]) AND item = -1
    UNION ALL
    SELECT run_id, head, NULL, false FROM runs_ticket WHERE run_id = ANY(%(runs)s::uuid[]) AND item = -1
    """,
)

# A few tickets of each run: each is of a branch that is open, and stays open while the run's lock is held. Index
# ticket_once.
OTHERS = Statement(
    "others",
    """
    SELECT d.run_id, t.head FROM unnest(%(runs)s::uuid[]) AS d(run_id)
    CROSS JOIN LATERAL (SELECT head FROM runs_ticket WHERE run_id = d.run_id AND item = -1 LIMIT 20) t
    """,
)

# As VIEW, for these steps only: rows and tickets in one snapshot. Each step is looked up by itself, at most one row: a
# join that was planned while the tables were small would read all rows of all runs.
VIEW_STEPS = Statement(
    "view_steps",
    """
    WITH d AS MATERIALIZED (SELECT * FROM unnest(%(runs)s::uuid[], %(steps)s::text[]) AS d(run_id, step))
    SELECT s.run_id, s.step, CASE WHEN s.state = 'waiting' AND s.open_items > 0 THEN 'running' ELSE s.state END,
           s.state = 'skipped' AND s.error IS NOT NULL
    FROM d CROSS JOIN LATERAL (
        SELECT * FROM runs_steprun WHERE run_id = d.run_id AND step = d.step AND item = -1 LIMIT 1) s
    UNION ALL
    SELECT t.run_id, t.head, NULL, false
    FROM d CROSS JOIN LATERAL (
        SELECT * FROM runs_ticket WHERE run_id = d.run_id AND head = d.step AND item = -1 LIMIT 1) t
    """,
)

# The results of steps, for expressions that read them.
OUTPUTS = Statement(
    "outputs",
    """
    SELECT run_id, jsonb_object_agg(step, jsonb_build_object('output', output, 'state', state, 'error', error))
    FROM runs_steprun WHERE run_id = ANY(%(runs)s::uuid[]) AND item = -1 AND step = ANY(%(reads)s::text[])
    GROUP BY run_id
    """,
)
