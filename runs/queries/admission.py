"""The statements of admission: one for runs without limits, and those under the limits of workspaces and gates.

An admission under limits locks first: workspaces before gates, ids ascending. Rows that another dispatcher holds are
left out (SKIP LOCKED). The next statement counts the free slots. A slot is a live run that is counted, never a counter.
A live run is written here as started and not finished, which is the condition of index run_in_gate; with its state
instead, the planner might read all live runs.
"""

from __future__ import annotations

from runs.queries.database import Statement
from runs.queries.lanes import free, gated, lane

# Admit the runs in `picked`, which are locked and queued: they become `running` and get their first tickets, which are
# written as sent, because the caller sends them at once. `picked` is used as an array: the planner cannot know how many
# runs were picked, and for a join that it takes for large it reads every queued run. There is no condition on their
# state: the planner would expect hardly any row, and search all admitted runs for each ticket.
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
_DUE = "SELECT t.id, t.run_id, -1, a.version_id, t.head FROM tickets t JOIN admitted a ON a.id = t.run_id"

# Runs without a gate (lane 0) in workspaces without limits, in fair turn between workspaces: a loose scan of index
# run_backlog finds the workspaces that have queued runs, and each gets its share of the room, by priority, oldest
# first. A last row of NULLs means that runs under limits are queued, too; those are admitted under locks, by GATED.
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
    SELECT NULL, NULL, NULL, NULL, NULL
    WHERE EXISTS (SELECT 1 FROM waiting WHERE limited)
       OR (SELECT true FROM runs_run r WHERE {gated("r")} ORDER BY workspace_id DESC LIMIT 1)
    """,  # noqa: S608 - constant text only
)

# Lock the workspaces with limits in which runs are queued. Workspaces are few; the rest is read from run_backlog.
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

# Lock the gates with queued runs that seem to have a free slot, after gate `after`, as many as one round looks at. They
# only seem so, because that is read before the lock; GATED counts again.
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

# The workspaces and gates are locked, and this snapshot is newer than their locks. Each gate offers as many runs as it
# has free slots, and each limited workspace offers those of its free lane. Of these, each workspace takes no more than
# its own limits allow, in fair turn: first one run of every workspace, then a second one of every workspace.
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
