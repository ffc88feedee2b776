"""The statements of admission under limits: workspaces with limits, and gates. Not on the plain hot path.

Each admission locks first, workspaces before gates, ids ascending, whoever else is at one being left alone (SKIP
LOCKED); what is free is counted by the next statement. A slot is a live run, never a counter.
"""

from __future__ import annotations

from runs.database import Statement
from runs.queries import ADMITTED, DUE

# Gates by their keys, made where they are not there yet; a statement of its own finds those that another made.
MAKE_GATES = Statement(
    "make_gates",
    """
    INSERT INTO runs_gate (workflow_id, key) SELECT %(workflow)s, key FROM unnest(%(keys)s::text[]) key ORDER BY key
    ON CONFLICT (workflow_id, key) DO NOTHING
    """,
)
FIND_GATES = Statement(
    "find_gates",
    "SELECT key, id FROM runs_gate WHERE workflow_id = %(workflow)s AND key = ANY(%(keys)s::text[])",
)

# For a start that decides by what is in the gate: it waits for whoever admits through it.
LOCK_GATES = Statement(
    "lock_gates", "SELECT id FROM runs_gate WHERE id = ANY(%(gates)s::bigint[]) ORDER BY id FOR NO KEY UPDATE"
)

# The gates are locked. What is in them besides these runs, newest first: live ones, and those that queue. Indexes
# run_in_gate and run_gated; a paused one that queues holds no place.
IN_GATES = Statement(
    "in_gates",
    """
    (SELECT gate_id, id FROM runs_run
     WHERE gate_id = ANY(%(gates)s::bigint[]) AND state IN ('running', 'waiting', 'compensating')
     UNION ALL
     SELECT gate_id, id FROM runs_run
     WHERE gate_id = ANY(%(gates)s::bigint[]) AND state = 'queued' AND lane = 1 AND id <> ALL(%(runs)s::uuid[]))
    ORDER BY id DESC
    """,
)

SKIP = Statement(
    "skip_starts",
    """
    UPDATE runs_run SET state = 'cancelled', finished_at = clock_timestamp(), paused_at = NULL, paused_through = NULL,
        error = jsonb_build_object('kind', 'skipped', 'message', %(message)s::text)
    WHERE id = ANY(%(runs)s::uuid[]) AND state = 'queued'
    """,
)

# Workspaces with limits in which something waits. Workspaces are few; index run_queued answers the rest.
LOCK_LIMITED = Statement(
    "lock_limited",
    """
    SELECT w.id FROM workflows_workspace w
    WHERE (w.concurrent_runs IS NOT NULL OR w.runs_per_minute IS NOT NULL)
      AND (EXISTS (SELECT 1 FROM runs_run r WHERE r.state = 'queued' AND r.lane = 0 AND r.workspace_id = w.id)
           OR EXISTS (SELECT 1 FROM runs_run r WHERE r.state = 'queued' AND r.lane = 1 AND r.workspace_id = w.id))
    ORDER BY w.id FOR NO KEY UPDATE OF w SKIP LOCKED
    """,
)

# Gates behind which something waits and that look open, from `after` on, as many as are looked at in one round. That
# they look open is only a hint, read before the lock; GATED counts again.
LOCK_OPEN_GATES = Statement(
    "lock_open_gates",
    """
    WITH RECURSIVE waiting AS (
        (SELECT gate_id, 1 AS number FROM runs_run
         WHERE state = 'queued' AND lane = 1 AND gate_id > %(after)s ORDER BY gate_id LIMIT 1)
        UNION ALL
        SELECT (SELECT r.gate_id FROM runs_run r
                WHERE r.state = 'queued' AND r.lane = 1 AND r.gate_id > w.gate_id ORDER BY r.gate_id LIMIT 1),
               w.number + 1
        FROM waiting w WHERE w.gate_id IS NOT NULL AND w.number <= %(look)s
    ),
    seen AS (
        SELECT g.id FROM waiting w JOIN runs_gate g ON g.id = w.gate_id
        JOIN workflows_workflow f ON f.id = g.workflow_id
        WHERE f.concurrent_runs IS NULL OR f.concurrent_runs > (
            SELECT count(*) FROM runs_run r
            WHERE r.gate_id = g.id AND r.state IN ('running', 'waiting', 'compensating'))
    ),
    locked AS MATERIALIZED (
        SELECT g.id FROM runs_gate g WHERE g.id IN (SELECT id FROM seen) ORDER BY g.id FOR NO KEY UPDATE SKIP LOCKED
    )
    SELECT (SELECT coalesce(array_agg(id), '{}') FROM locked), (SELECT max(gate_id) FROM waiting),
           (SELECT count(*) > %(look)s FROM waiting WHERE gate_id IS NOT NULL)
    """,
)

# The workspaces and gates are locked; this snapshot is newer than the locks. Each gate offers as many runs as it has
# places, each limited workspace those of its free lane; a workspace then takes no more than its own limits leave, in
# fair turn: everybody's first, then everybody's second.
GATED = Statement(
    "admit_gated",
    f"""
    WITH rooms AS MATERIALIZED (
        SELECT w.id, w.runs_per_minute IS NOT NULL AS metered, greatest(0, least(%(limit)s,
            w.concurrent_runs - (SELECT count(*) FROM runs_run r WHERE r.workspace_id = w.id AND r.state = 'running'),
            w.runs_per_minute - (SELECT count(*) FROM runs_run r WHERE r.workspace_id = w.id AND r.metered
                                   AND r.started_at > clock_timestamp() - interval '1 minute'))) AS free
        FROM workflows_workspace w WHERE w.id = ANY(%(workspaces)s::uuid[])
    ),
    offered AS (
        SELECT turn.* FROM runs_gate g JOIN workflows_workflow f ON f.id = g.workflow_id, LATERAL (
            SELECT r.id, r.workspace_id, r.priority FROM runs_run r
            WHERE r.gate_id = g.id AND r.state = 'queued' AND r.lane = 1 ORDER BY r.priority DESC, r.id
            LIMIT greatest(0, least(%(limit)s, f.concurrent_runs - (
                SELECT count(*) FROM runs_run b
                WHERE b.gate_id = g.id AND b.state IN ('running', 'waiting', 'compensating'))))
        ) turn WHERE g.id = ANY(%(gates)s::bigint[])
        UNION ALL
        SELECT turn.* FROM rooms, LATERAL (
            SELECT r.id, r.workspace_id, r.priority FROM runs_run r
            WHERE r.workspace_id = rooms.id AND r.state = 'queued' AND r.lane = 0 ORDER BY r.priority DESC, r.id
            LIMIT rooms.free
        ) turn
    ),
    placed AS (
        SELECT id, workspace_id, row_number() OVER (PARTITION BY workspace_id ORDER BY priority DESC, id) AS place
        FROM offered
    ),
    chosen AS (
        SELECT p.id, coalesce(rooms.metered, false) AS metered
        FROM placed p JOIN workflows_workspace w ON w.id = p.workspace_id LEFT JOIN rooms ON rooms.id = w.id
        WHERE p.place <= rooms.free OR (w.concurrent_runs IS NULL AND w.runs_per_minute IS NULL)
        ORDER BY p.place LIMIT %(limit)s
    ),
    picked AS MATERIALIZED (
        SELECT r.id, chosen.metered FROM runs_run r JOIN chosen ON chosen.id = r.id
        WHERE r.state = 'queued' AND r.lane < 2 ORDER BY r.id FOR NO KEY UPDATE OF r SKIP LOCKED
    ),
    {ADMITTED}
    {DUE} ORDER BY t.id
    """,  # noqa: S608 - constant text only
)
