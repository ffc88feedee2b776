"""The statement of lists: the newest runs of a workspace, at a cost that does not grow with other workspaces' runs."""

from __future__ import annotations

from runs.database import Statement

# Each workflow of the workspace yields its newest by index run_of_workflow, and the newest of all of them are left. An
# index on (workspace, id) would answer it by itself, but every run would pay for it, three times in its life. Rows are
# compared as the index has them: with `workflow_id = w.id` the planner may go through everybody's runs by their ids.
NEWEST = Statement(
    "newest_runs",
    """
    SELECT r.id FROM workflows_workflow w, LATERAL (
        SELECT id FROM runs_run
        WHERE workflow_id >= w.id AND (workflow_id, id) < (w.id, %(before)s)
          AND (%(states)s::text[] IS NULL OR state = ANY(%(states)s::text[]))
          AND (NOT %(unpaused)s::boolean OR paused_at IS NULL)
        ORDER BY workflow_id DESC, id DESC LIMIT %(limit)s
    ) r WHERE w.workspace_id = %(workspace)s ORDER BY r.id DESC LIMIT %(limit)s
    """,
)
