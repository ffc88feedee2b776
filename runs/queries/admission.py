"""The statements of admission: the plain one, and those under limits, of workspaces and of gates.

Each admission under a limit locks first, workspaces before gates, ids ascending, whoever else is at one being left
alone (SKIP LOCKED); what is free is counted by the next statement. A slot is a live run, never a counter. Live is
written here as begun and not ended, in the words of index run_in_gate: by its state the planner might read all live
runs instead.
"""

from __future__ import annotations

from runs.queries.database import Statement
from runs.queries.lanes import free, gated, lane

# What becomes of the runs in `picked`, which are locked and queued: they run, and get their first tickets, written as
# sent once, for the caller sends them at once. As an array: how many were picked the planner cannot know, and a join
# that is guessed to be large reads every queued run. Their state is not asked again: it would be guessed that next to
# none has it, and each ticket looked for among all that were admitted.
_ADMITTED = """
    admitted AS (
        UPDATE runs_run r SET state = 'running', started_at = clock_timestamp(), metered = {metered},
            deadline = clock_timestamp()
                + (SELECT v.timeout FROM workflows_version v WHERE v.id = r.version_id) * interval '1 second'
        WHERE r.id = ANY(ARRAY(SELECT id FROM picked))
        RETURNING r.id, r.version_id, r.entry
    ),
    tickets AS (
        INSERT INTO runs_ticket (run_id, head, item, due_at, knock_at, sends, suspect)
        SELECT a.id, head, -1, clock_timestamp(), clock_timestamp() + %(repeat)s * interval '1 second', 1, false
        FROM admitted a, LATERAL (SELECT roots FROM workflows_version WHERE id = a.version_id LIMIT 1) v,
             unnest(coalesce(a.entry, v.roots)) head
        RETURNING id, run_id, head
    )
"""
_DUE = "SELECT t.id, t.run_id, -1, a.version_id, t.head, false FROM tickets t JOIN admitted a ON a.id = t.run_id"

# Runs without a gate, in workspaces without limits: lane 0. Fair turn between workspaces: a loose scan of index
# run_backlog finds those with a backlog, and each gets its share of the room, by priority, oldest first. A last row of
# NULLs says that others wait, which are admitted under locks of their own: see GATED.
ADMIT = Statement(
    "admit",
    f"""
    WITH RECURSIVE backlog AS (
        (SELECT workspace_id FROM runs_run r WHERE {free("r")} ORDER BY workspace_id LIMIT 1)
        UNION ALL
        SELECT (SELECT r.workspace_id FROM runs_run r
                WHERE {free("r")} AND r.workspace_id > b.workspace_id ORDER BY r.workspace_id LIMIT 1)
        FROM backlog b WHERE b.workspace_id IS NOT NULL
    ),
    waiting AS MATERIALIZED (
        SELECT w.id, w.concurrent_runs IS NOT NULL OR w.runs_per_minute IS NOT NULL AS limited
        FROM backlog b JOIN workflows_workspace w ON w.id = b.workspace_id
    ),
    picked AS MATERIALIZED (
        SELECT turn.id FROM waiting, LATERAL (
            SELECT r.id FROM runs_run r
            WHERE r.workspace_id = waiting.id AND r.state = 'queued' AND {lane("r")} = 0 ORDER BY r.priority DESC, r.id
            LIMIT greatest(1, %(limit)s::int / (SELECT count(*) FROM waiting WHERE NOT limited))
            FOR NO KEY UPDATE SKIP LOCKED
        ) turn WHERE NOT waiting.limited
    ),
    {_ADMITTED.format(metered="false")}
    ({_DUE} ORDER BY t.id)
    UNION ALL
    SELECT NULL, NULL, NULL, NULL, NULL, NULL
    WHERE EXISTS (SELECT 1 FROM waiting WHERE limited)
       OR (SELECT true FROM runs_run r WHERE {gated("r")} ORDER BY workspace_id DESC LIMIT 1)
    """,  # noqa: S608 - constant text only
)

# Workspaces with limits in which something waits. Workspaces are few; run_backlog answers the rest.
LOCK_LIMITED = Statement(
    "lock_limited",
    f"""
    SELECT w.id FROM workflows_workspace w
    WHERE (w.concurrent_runs IS NOT NULL OR w.runs_per_minute IS NOT NULL)
      AND coalesce((SELECT true FROM runs_run r WHERE {free("r")} AND r.workspace_id = w.id LIMIT 1),
                   (SELECT true FROM runs_run r WHERE {gated("r")} AND r.workspace_id = w.id LIMIT 1), false)
    ORDER BY w.id FOR NO KEY UPDATE OF w SKIP LOCKED
    """,  # noqa: S608 - constant text only
)

# Gates behind which something waits and that look open, from `after` on, as many as are looked at in one round. That
# they look open is only a hint, read before the lock; GATED counts again.
LOCK_OPEN_GATES = Statement(
    "lock_open_gates",
    f"""
    WITH RECURSIVE waiting AS (
        (SELECT gate_id, 1 AS number FROM runs_run
         WHERE {gated("runs_run")} AND gate_id > %(after)s ORDER BY gate_id LIMIT 1)
        UNION ALL
        SELECT (SELECT r.gate_id FROM runs_run r
                WHERE {gated("r")} AND r.gate_id > w.gate_id ORDER BY r.gate_id LIMIT 1),
               w.number + 1
        FROM waiting w WHERE w.gate_id IS NOT NULL AND w.number <= %(look)s
    ),
    seen AS (
        SELECT g.id FROM waiting w JOIN runs_gate g ON g.id = w.gate_id
        JOIN workflows_workflow f ON f.id = g.workflow_id
        WHERE f.concurrent_runs IS NULL OR f.concurrent_runs > (
            SELECT count(*) FROM runs_run r
            WHERE r.gate_id = g.id AND r.started_at IS NOT NULL AND r.finished_at IS NULL)
    ),
    locked AS MATERIALIZED (
        SELECT g.id FROM runs_gate g WHERE g.id IN (SELECT id FROM seen) ORDER BY g.id FOR NO KEY UPDATE SKIP LOCKED
    )
    SELECT (SELECT coalesce(array_agg(id), '{{}}') FROM locked), (SELECT max(gate_id) FROM waiting),
           (SELECT count(*) > %(look)s FROM waiting WHERE gate_id IS NOT NULL)
    """,  # noqa: S608 - constant text only
)

_METERED = """
    r.parent_id IS NULL
        AND (SELECT w.runs_per_minute IS NOT NULL FROM workflows_workspace w WHERE w.id = r.workspace_id)
"""

# The workspaces and gates are locked; this snapshot is newer than the locks. Each gate offers as many runs as it has
# places, each limited workspace those of its free lane; a workspace then takes no more than its own limits leave, in
# fair turn: everybody's first, then everybody's second.
GATED = Statement(
    "admit_gated",
    f"""
    WITH rooms AS MATERIALIZED (
        SELECT w.id, greatest(0, least(%(limit)s,
            w.concurrent_runs - (SELECT count(*) FROM runs_run r WHERE r.workspace_id = w.id AND r.state = 'running'
                                     AND r.parent_id IS NULL),
            w.runs_per_minute - (SELECT count(*) FROM runs_run r WHERE r.workspace_id = w.id AND r.metered
                                   AND r.started_at > clock_timestamp() - interval '1 minute'))) AS free
        FROM workflows_workspace w WHERE w.id = ANY(%(workspaces)s::uuid[])
    ),
    offered AS (
        SELECT turn.* FROM runs_gate g JOIN workflows_workflow f ON f.id = g.workflow_id, LATERAL (
            SELECT r.id, r.workspace_id, r.priority FROM runs_run r
            WHERE r.gate_id = g.id AND {gated("r")} ORDER BY r.priority DESC, r.id
            LIMIT greatest(0, least(%(limit)s, f.concurrent_runs - (
                SELECT count(*) FROM runs_run b
                WHERE b.gate_id = g.id AND b.started_at IS NOT NULL AND b.finished_at IS NULL)))
        ) turn WHERE g.id = ANY(%(gates)s::bigint[])
        UNION ALL
        SELECT turn.* FROM rooms, LATERAL (
            SELECT r.id, r.workspace_id, r.priority FROM runs_run r
            WHERE r.workspace_id = rooms.id AND r.state = 'queued' AND {lane("r")} = 0 AND r.parent_id IS NULL
            ORDER BY r.priority DESC, r.id LIMIT rooms.free
        ) turn
    ),
    placed AS (
        SELECT id, workspace_id, row_number() OVER (PARTITION BY workspace_id ORDER BY priority DESC, id) AS place
        FROM offered
        UNION ALL
        -- Sub-workflows live in their parent's place: index run_child_queued.
        SELECT turn.id, rooms.id, 0 FROM rooms, LATERAL (
            SELECT r.id FROM runs_run r
            WHERE r.workspace_id = rooms.id AND r.state = 'queued' AND {lane("r")} = 0 AND r.parent_id IS NOT NULL
            ORDER BY r.id LIMIT %(limit)s
        ) turn
    ),
    chosen AS (
        SELECT p.id
        FROM placed p JOIN workflows_workspace w ON w.id = p.workspace_id LEFT JOIN rooms ON rooms.id = w.id
        WHERE p.place <= rooms.free OR (w.concurrent_runs IS NULL AND w.runs_per_minute IS NULL)
        ORDER BY p.place LIMIT %(limit)s
    ),
    picked AS MATERIALIZED (
        SELECT r.id FROM (SELECT id FROM chosen ORDER BY id) c, LATERAL (
            SELECT id FROM runs_run WHERE id = c.id AND state = 'queued' AND paused_at IS NULL
            FOR NO KEY UPDATE SKIP LOCKED
        ) r
    ),
    {_ADMITTED.format(metered=_METERED)}
    {_DUE} ORDER BY t.id
    """,  # noqa: S608 - constant text only
)
