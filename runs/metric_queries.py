"""The statements that count for Prometheus."""

from __future__ import annotations

from runs.database import Statement

# Each count is answered by a partial index that holds just what is counted: run_queued, run_live, dead_letter_list.
FIGURES = Statement(
    "figures",
    """
    SELECT 'runs', state, '', count(*) FROM runs_run
    WHERE workspace_id = %(workspace)s AND state IN ('running', 'waiting', 'compensating') GROUP BY state
    UNION ALL
    SELECT 'runs', 'queued', '', count(*) FROM runs_run WHERE workspace_id = %(workspace)s AND state = 'queued'
    UNION ALL
    SELECT 'dead_letters', l.reason, f.name, count(*)
    FROM runs_deadletter l JOIN runs_run r ON r.id = l.run_id JOIN workflows_workflow f ON f.id = r.workflow_id
    WHERE l.workspace_id = %(workspace)s AND l.state = 'open' GROUP BY l.reason, f.name
    """,
)
