"""The statements of pause and resume, for runs and for workflows.

Lock order as in runs.queries.records: the workflow, then, by a separate statement, the runs by ascending id, then
tickets.
"""

from __future__ import annotations

from runs.queries.database import Statement
from runs.queries.lanes import lane
from runs.queries.paused_tickets import PAUSE as FAR
from runs.queries.paused_tickets import PAUSED_FROM

# A run that is paused through its workflow can be paused itself, too: then resuming the workflow leaves it paused.
LOCK_TO_PAUSE = Statement(
    "lock_to_pause",
    """
    SELECT id FROM runs_run
    WHERE id = ANY(%(runs)s::uuid[]) AND state = ANY(%(states)s::text[])
      AND (paused_at IS NULL OR (paused_through = 'workflow' AND %(through)s = 'run'))
    ORDER BY id FOR NO KEY UPDATE
    """,
)

# `through` limits this to runs that were paused that way (`run` or `workflow`); NULL means both.
LOCK_TO_RESUME = Statement(
    "lock_to_resume",
    """
    SELECT id FROM runs_run
    WHERE id = ANY(%(runs)s::uuid[]) AND state = ANY(%(states)s::text[]) AND paused_at IS NOT NULL
      AND paused_through = coalesce(%(through)s, paused_through)
    ORDER BY id FOR NO KEY UPDATE
    """,
)

# The runs are locked. A ticket that a claim has locked is deleted by that claim: its step runs although the run is
# paused.
PAUSE = Statement(
    "pause",
    f"""
    WITH theirs AS MATERIALIZED (
        -- In the order in which claims lock them.
        SELECT id FROM runs_ticket WHERE run_id = ANY(%(runs)s::uuid[]) AND due_at < {PAUSED_FROM}
        ORDER BY run_id, head, item FOR UPDATE
    ),
    tickets AS (
        UPDATE runs_ticket t SET due_at = t.due_at + {FAR}, knock_at = t.knock_at + {FAR}
        FROM theirs WHERE t.id = theirs.id RETURNING 1
    )
    UPDATE runs_run SET paused_at = coalesce(paused_at, clock_timestamp()), paused_through = %(through)s
    WHERE id = ANY(%(runs)s::uuid[])
    """,  # noqa: S608 - constant text only
)

# The runs are locked. A retry is due at the time at which it would have been due. For tickets that are due, a message
# is sent at once, because a message that was under way during the pause has found nothing to claim.
RESUME = Statement(
    "resume",
    f"""
    WITH theirs AS MATERIALIZED (
        SELECT id FROM runs_ticket WHERE run_id = ANY(%(runs)s::uuid[]) AND due_at >= {PAUSED_FROM}
        ORDER BY run_id, head, item FOR UPDATE
    ),
    tickets AS (
        UPDATE runs_ticket t SET due_at = t.due_at - {FAR}, knock_at = greatest(t.due_at - {FAR}, clock_timestamp())
        FROM theirs WHERE t.id = theirs.id RETURNING 1
    )
    UPDATE runs_run SET paused_at = NULL, paused_through = NULL WHERE id = ANY(%(runs)s::uuid[])
    """,  # noqa: S608 - constant text only
)

# Waits for starts that have copied the workflow's old pause; later starts copy the new one.
HOLD_WORKFLOW = Statement(
    "hold_workflow", "SELECT paused_at IS NOT NULL FROM workflows_workflow WHERE id = %(workflow)s FOR UPDATE"
)
SET_WORKFLOW_PAUSE = Statement(
    "set_workflow_pause",
    """
    UPDATE workflows_workflow SET paused_at = CASE WHEN %(paused)s THEN clock_timestamp() END WHERE id = %(workflow)s
    """,
)
# While this lock is held, the workflow cannot be paused or resumed; starts are not blocked.
WORKFLOW_PAUSED = Statement(
    "workflow_paused", "SELECT paused_at IS NOT NULL FROM workflows_workflow WHERE id = %(workflow)s FOR KEY SHARE"
)
# Indexes run_queued and run_live, so that ended runs are not read.
TO_PAUSE = Statement(
    "to_pause",
    f"""
    (SELECT id FROM runs_run WHERE workspace_id = %(workspace)s AND workflow_id = %(workflow)s AND paused_at IS NULL
       AND state IN ('running', 'waiting', 'compensating') LIMIT %(limit)s)
    UNION ALL
    (SELECT id FROM runs_run WHERE workspace_id = %(workspace)s AND workflow_id = %(workflow)s
       AND {lane("runs_run")} IN (0, 1) AND state = 'queued' LIMIT %(limit)s)
    LIMIT %(limit)s
    """,  # noqa: S608 - constant text only
)
# Index run_paused.
TO_RESUME = Statement(
    "to_resume",
    """
    SELECT id FROM runs_run WHERE workflow_id = %(workflow)s AND paused_at IS NOT NULL AND paused_through = 'workflow'
      AND state = ANY(%(states)s::text[]) LIMIT %(limit)s
    """,
)
