"""The statements that archive, restore and delete workflows. They lock the workflow against starts and publishers."""

from __future__ import annotations

from runs.queries.database import Statement

# Starts lock the workflow FOR KEY SHARE (runs.queries.starts), so they come wholly before or wholly after.
LOCK_WORKFLOW = Statement(
    "lock_workflow",
    "SELECT name, archived_at IS NOT NULL FROM workflows_workflow WHERE id = %(workflow)s FOR UPDATE",
)
SET_ARCHIVED = Statement(
    "set_archived",
    """
    UPDATE workflows_workflow SET archived_at = CASE WHEN %(archived)s THEN clock_timestamp() END
    WHERE id = %(workflow)s
    """,
)
# Gates, interventions, and the steps of the draft go with it. A trigger refuses versions that have runs.
FORGET_CURRENT = Statement("forget_current", "UPDATE workflows_workflow SET current_id = NULL WHERE id = %(workflow)s")
