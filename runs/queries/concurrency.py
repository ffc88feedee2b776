"""The statements of concurrency limits. A gate is the row of one (workflow, concurrency key), which its runs share."""

from __future__ import annotations

from runs.queries.database import Statement
from runs.queries.lanes import gated

# Insert the gates of these keys that do not exist yet. FIND_GATES then reads all of them, also those that another
# transaction has inserted, and keeps them from being pruned (runs.queries.retention) until its transaction ends.
MAKE_GATES = Statement(
    "make_gates",
    """
    INSERT INTO runs_gate (workflow_id, key) SELECT %(workflow)s, key FROM unnest(%(keys)s::text[]) key ORDER BY key
    ON CONFLICT (workflow_id, key) DO NOTHING
    """,
)

FIND_GATES = Statement(
    "find_gates",
    """
    SELECT key, id FROM runs_gate WHERE workflow_id = %(workflow)s AND key = ANY(%(keys)s::text[])
    ORDER BY id FOR KEY SHARE
    """,
)

# For a start that decides by the runs in the gate: it waits for any dispatcher that is admitting runs through it.
LOCK_GATES = Statement(
    "lock_gates", "SELECT id FROM runs_gate WHERE id = ANY(%(gates)s::bigint[]) ORDER BY id FOR NO KEY UPDATE"
)

# The gates are locked. The other runs in them, newest first: live ones, and queued ones that are not paused. Indexes
# run_in_gate and run_gated.
IN_GATES = Statement(
    "in_gates",
    f"""
    (SELECT gate_id, id FROM runs_run
     WHERE gate_id = ANY(%(gates)s::bigint[]) AND started_at IS NOT NULL AND finished_at IS NULL
     UNION ALL
     SELECT gate_id, id FROM runs_run r
     WHERE gate_id = ANY(%(gates)s::bigint[]) AND {gated("r")} AND id <> ALL(%(runs)s::uuid[]))
    ORDER BY id DESC
    """,  # noqa: S608 - constant text only
)

SKIP = Statement(
    "skip_starts",
    """
    UPDATE runs_run SET state = 'cancelled', finished_at = clock_timestamp(), paused_at = NULL, paused_through = NULL,
        error = jsonb_build_object('kind', 'skipped', 'message', %(message)s::text)
    WHERE id = ANY(%(runs)s::uuid[]) AND state = 'queued'
    """,
)
