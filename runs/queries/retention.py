"""The statements of retention: find and delete runs that are old enough, and gates that no run uses.

Run ids contain their time of creation, so index run_of_workflow has the oldest runs first, and no index on finished_at
is needed. Lock order as in runs.queries.records: gates, or runs by ascending id. Rows that another transaction holds
are left out (SKIP LOCKED), and the next statement decides.
"""

from __future__ import annotations

from runs.queries.database import Statement
from runs.queries.lanes import gated

# One process prunes at a time: the session holds this lock, so that it is released when the connection ends.
TRY_LOCK = Statement("retention_try_lock", "SELECT pg_try_advisory_lock(hashtext('stepwise retention'))")
UNLOCK = Statement("retention_unlock", "SELECT pg_advisory_unlock(hashtext('stepwise retention'))")

_AT = "clock_timestamp() - {seconds} * interval '1 second'"
# The smallest id that a run created at that time can have. A run that ended before that time was created before it, and
# so has a smaller id. If the clock of the process that made an id was fast, its run is only found later.
_BOUND = "rpad(lpad(to_hex((extract(epoch FROM {at}) * 1000)::bigint), 12, '0'), 32, '0')::uuid"

# Workflows that keep their runs for a number of days, and have a run that was created before that. One row each; 0 days
# means for ever.
DUE = Statement(
    "retention_due",
    f"""
    WITH kept AS MATERIALIZED (
        SELECT w.id, w.name, coalesce(w.keep_days, s.keep_days) * 86400.0 AS seconds
        FROM workflows_workflow w JOIN workflows_workspace s ON s.id = w.workspace_id
        WHERE coalesce(w.keep_days, s.keep_days) > 0
    )
    SELECT kept.id, kept.name, kept.seconds FROM kept, LATERAL (
        SELECT 1 FROM runs_run r WHERE r.workflow_id >= kept.id
          AND (r.workflow_id, r.id) < (kept.id, {_BOUND.format(at=_AT.format(seconds="kept.seconds"))})
        ORDER BY r.workflow_id, r.id LIMIT 1
    ) AS oldest ORDER BY kept.id
    """,  # noqa: S608 - constant text only
)

# One page of the workflow's runs after run `after`, oldest first, and whether each ended long enough ago. Rows are
# compared as in runs.queries.lists.NEWEST, so that no other index fits.
PAGE = Statement(
    "retention_page",
    f"""
    WITH cut AS MATERIALIZED (SELECT {_AT.format(seconds="%(seconds)s")} AS at)
    SELECT p.id, coalesce(p.finished_at < cut.at, false)
    FROM cut, LATERAL (
        SELECT id, finished_at FROM runs_run
        WHERE (workflow_id, id) > (%(workflow)s, %(after)s)
          AND (workflow_id, id) < (%(workflow)s, {_BOUND.format(at="cut.at")})
        ORDER BY workflow_id, id LIMIT %(limit)s
    ) p ORDER BY p.id
    """,  # noqa: S608 - constant text only
)

LOCK = Statement(
    "retention_lock",
    f"""
    SELECT id FROM runs_run WHERE id = ANY(%(runs)s::uuid[]) AND finished_at < {_AT.format(seconds="%(seconds)s")}
    ORDER BY id FOR UPDATE SKIP LOCKED
    """,  # noqa: S608 - constant text only
)

# Those of the runs that can be deleted, with the number of their step rows, counted up to a limit. A run is kept if it
# has an open dead letter or one whose alert is due, a step that is still running, or a parent or sub-workflow run that
# has not ended.
FREE = Statement(
    "retention_free",
    """
    SELECT r.id, (SELECT count(*) FROM (SELECT 1 FROM runs_steprun s WHERE s.run_id = r.id LIMIT %(limit)s) AS its)
    FROM runs_run r WHERE r.id = ANY(%(runs)s::uuid[])
      AND NOT EXISTS (SELECT 1 FROM runs_deadletter l WHERE l.run_id = r.id AND (l.state = 'open' OR l.alert_due))
      AND NOT EXISTS (SELECT 1 FROM runs_steprun s WHERE s.run_id = r.id AND s.state = 'running')
      AND NOT EXISTS (SELECT 1 FROM runs_run p WHERE p.id = r.parent_id AND p.finished_at IS NULL)
      AND NOT EXISTS (SELECT 1 FROM runs_run c WHERE c.parent_id = r.id AND c.finished_at IS NULL)
    ORDER BY r.id
    """,
)

# Some step rows of a run that has very many; index step_run_once.
DELETE_STEPS = Statement(
    "retention_delete_steps",
    """
    DELETE FROM runs_steprun WHERE id = ANY(ARRAY(
        SELECT id FROM runs_steprun WHERE run_id = %(run)s LIMIT %(limit)s))
    RETURNING 1
    """,
)

# The runs are locked and free. An ended run has no tickets.
DELETE = Statement(
    "retention_delete",
    """
    WITH steps AS (DELETE FROM runs_steprun WHERE run_id = ANY(%(runs)s::uuid[])),
    batches AS (DELETE FROM runs_itembatch WHERE run_id = ANY(%(runs)s::uuid[])),
    effects AS (DELETE FROM runs_effect WHERE run_id = ANY(%(runs)s::uuid[])),
    logs AS (DELETE FROM runs_steplog WHERE run_id = ANY(%(runs)s::uuid[])),
    checkpoints AS (DELETE FROM runs_checkpoint WHERE run_id = ANY(%(runs)s::uuid[])),
    signals AS (DELETE FROM runs_signal WHERE run_id = ANY(%(runs)s::uuid[])),
    letters AS (DELETE FROM runs_deadletter WHERE run_id = ANY(%(runs)s::uuid[])),
    hands AS (DELETE FROM runs_intervention WHERE run_id = ANY(%(runs)s::uuid[]))
    DELETE FROM runs_run WHERE id = ANY(%(runs)s::uuid[])
    """,
)

GATES = Statement("retention_gates", "SELECT id FROM runs_gate WHERE id > %(after)s ORDER BY id LIMIT %(limit)s")
# The gate has no queued or live run, and no failed one, which a retry would bring back. Indexes run_gated, run_in_gate,
# run_back_to_gate, one subquery for each: NOT EXISTS would be planned as a join, which might read the whole index for
# each gate.
_UNUSED = f"""
    coalesce((SELECT true FROM runs_run r WHERE r.gate_id = g.id AND {gated("r")} LIMIT 1),
             (SELECT true FROM runs_run r WHERE r.gate_id = g.id
              AND r.started_at IS NOT NULL AND r.finished_at IS NULL LIMIT 1),
             (SELECT true FROM runs_run r WHERE r.gate_id = g.id
              AND (r.state = 'failed' OR (r.state = 'queued' AND r.paused_at IS NOT NULL)) LIMIT 1)) IS NULL
"""  # noqa: S608 - constant text only
# A start holds its gates FOR KEY SHARE until its runs are inserted: see runs.queries.concurrency.FIND_GATES.
LOCK_UNUSED = Statement(
    "retention_lock_gates",
    f"""
    SELECT g.id FROM runs_gate g WHERE g.id = ANY(%(gates)s::bigint[]) AND {_UNUSED}
    ORDER BY g.id FOR UPDATE SKIP LOCKED
    """,  # noqa: S608 - constant text only
)
DELETE_UNUSED = Statement(
    "retention_delete_gates",
    f"DELETE FROM runs_gate g WHERE g.id = ANY(%(gates)s::bigint[]) AND {_UNUSED} RETURNING g.id",  # noqa: S608 - constant text only
)
