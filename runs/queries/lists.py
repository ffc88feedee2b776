"""The statements of lists: a workspace's newest runs, at a cost that does not depend on other workspaces' runs."""

from __future__ import annotations

from functools import lru_cache

from runs.domain.states import RunState
from runs.queries.database import Statement

# The newest runs of each workflow of the workspace, by index run_of_workflow, and of these the newest. An index on
# (workspace, id) would be simpler, but would have to be maintained three times in each run's life. Rows are compared
# in the order of the index: with `workflow_id = w.id` the planner might scan the runs of all workspaces by their ids.
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


@lru_cache(maxsize=100)
def newest_in(states: frozenset[RunState]) -> Statement:
    """Return the statement for the newest runs in these states, by the partial indexes run_live and run_unhappy.

    The states are literals, because no partial index fits a state that is a parameter. Each has a query of its own: for
    a set of states the planner might read the runs of all workspaces, newest first, until it has found enough.
    """
    newest = " UNION ALL ".join(
        f"""
        (SELECT id FROM runs_run WHERE workspace_id = %(workspace)s AND state = '{state.value}' AND id < %(before)s
            AND (NOT %(unpaused)s::boolean OR paused_at IS NULL)
         ORDER BY id DESC LIMIT %(limit)s)
        """  # noqa: S608 - constant text only
        for state in sorted(states)
    )
    found = f"SELECT id FROM ({newest}) found ORDER BY id DESC LIMIT %(limit)s"  # noqa: S608 - constant text only
    return Statement("newest_runs_in_states", found)
