"""The statements of lists: the newest runs of a workspace, at a cost that does not grow with other workspaces' runs."""

from __future__ import annotations

from functools import lru_cache

from runs.domain.states import RunState
from runs.queries.database import Statement

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


@lru_cache(maxsize=100)
def newest_in(states: frozenset[RunState]) -> Statement:
    """The same of these states, each of which has a partial index of its own runs: run_live, run_unhappy.

    Written out, for no index fits a state that is not known when the statement is planned; and each by itself, for of
    a set of them the planner would rather read everybody's runs, newest first, until it has found enough.
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
