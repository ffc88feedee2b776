"""The statement that changes the labels of a run, for the action `set_labels`."""

from __future__ import annotations

from runs.queries.database import Statement

# It locks the run, before anything else that the transaction of the step locks.
SET_LABELS = Statement(
    "set_labels",
    """
    UPDATE runs_run SET labels = (labels || %(labels)s::jsonb) - %(remove)s::text[]
    WHERE id = %(run)s::uuid RETURNING labels::text
    """,
)
