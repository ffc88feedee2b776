"""The statement that counts runs and dead letters for Prometheus."""

from __future__ import annotations

from runs.queries.database import Statement

# Each count reads a partial index that has exactly the rows to count: run_queued, run_live, dead_letter_open.
FIGURES = Statement(
    "figures",
    """
    SELECT 'runs', state, '', count(*) FROM runs_run
    WHERE workspace_id = %(workspace)s AND state IN ('running', 'waiting', 'compensating') GROUP BY state
    UNION ALL
    SELECT 'runs', 'queued', '', count(*) FROM runs_run WHERE workspace_id = %(workspace)s AND state = 'queued'
    UNION ALL
    SELECT 'dead_letters', l.reason, f.name, l.count
    FROM (SELECT workflow_id, reason, count(*) FROM runs_deadletter
          WHERE workspace_id = %(workspace)s AND state = 'open' GROUP BY workflow_id, reason) l
    JOIN workflows_workflow f ON f.id = l.workflow_id
    """,
)
