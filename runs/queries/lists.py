"""The statements of lists: a workspace's newest runs, at a cost that does not depend on other workspaces' runs."""

from __future__ import annotations

from functools import lru_cache

from runs.domain.states import RunState
from runs.queries.database import Statement

# The newest runs of each workflow of the workspace, by index run_of_workflow, and of these the newest. An index on
# (workspace, id) would be simpler, but would have to be maintained three times in each run's life. Rows are compared
# in the order of the index: with `workflow_id = w.id` the planner might scan the runs of all workspaces by their ids.
_NEWEST = """
    SELECT r.id FROM workflows_workflow w, LATERAL (
        SELECT id FROM runs_run
        WHERE {first} AND (workflow_id, id) < (w.id, %(before)s)
          AND (%(states)s::text[] IS NULL OR state = ANY(%(states)s::text[]))
          AND (NOT %(unpaused)s::boolean OR paused_at IS NULL){within}
        ORDER BY workflow_id DESC, id DESC LIMIT %(limit)s
    ) r WHERE w.workspace_id = %(workspace)s ORDER BY r.id DESC LIMIT %(limit)s
"""
NEWEST = Statement("newest_runs", _NEWEST.format(first="workflow_id >= w.id", within=""))

# A range of times: ids begin with the time at which they were made, so that %(since)s is the lowest that may fit.
_WITHIN = """
    AND (%(created_after)s::timestamptz IS NULL OR created_at > %(created_after)s::timestamptz)
    AND (%(created_before)s::timestamptz IS NULL OR created_at < %(created_before)s::timestamptz)
    AND (%(finished_after)s::timestamptz IS NULL OR finished_at > %(finished_after)s::timestamptz)
    AND (%(finished_before)s::timestamptz IS NULL OR finished_at < %(finished_before)s::timestamptz)
"""
NEWEST_WITHIN = Statement(
    "newest_runs_within", _NEWEST.format(first="(workflow_id, id) >= (w.id, %(since)s::uuid)", within=_WITHIN)
)


@lru_cache(maxsize=100)
def newest_in(states: frozenset[RunState], *, within: bool = False) -> Statement:
    """Return the statement for the newest runs in these states, by the partial indexes run_live and run_unhappy.

    `within`: in a range of times, with the parameters of NEWEST_WITHIN.

    The states are literals, because no partial index fits a state that is a parameter. Each has a query of its own: for
    a set of states the planner might read the runs of all workspaces, newest first, until it has found enough.
    """
    more = f" AND id >= %(since)s::uuid {_WITHIN}" if within else ""
    newest = " UNION ALL ".join(
        f"""
        (SELECT id FROM runs_run WHERE workspace_id = %(workspace)s AND state = '{state.value}' AND id < %(before)s
            AND (NOT %(unpaused)s::boolean OR paused_at IS NULL){more}
         ORDER BY id DESC LIMIT %(limit)s)
        """  # noqa: S608 - constant text only
        for state in sorted(states)
    )
    found = f"SELECT id FROM ({newest}) found ORDER BY id DESC LIMIT %(limit)s"  # noqa: S608 - constant text only
    return Statement("newest_runs_in_states_within" if within else "newest_runs_in_states", found)
