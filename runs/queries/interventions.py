"""The statements that log interventions: the verbs that somebody called on runs and workflows."""

from __future__ import annotations

from runs.queries.database import Statement

INTERVENE = Statement(
    "intervene",
    """
    INSERT INTO runs_intervention (run_id, verb, by_id, why, details)
    SELECT d.run_id, %(verb)s, %(by)s, %(why)s, d.details::jsonb
    FROM unnest(%(runs)s::uuid[], %(details)s::text[]) AS d(run_id, details)
    """,
)

INTERVENE_WORKFLOW = Statement(
    "intervene_workflow",
    """
    INSERT INTO runs_workflowintervention (workflow_id, verb, by_id, why)
    VALUES (%(workflow)s, %(verb)s, %(by)s, %(why)s)
    """,
)

# Pruning by hand, if it was limited to one workflow.
TELL = Statement(
    "retention_tell",
    """
    INSERT INTO runs_workflowintervention (workflow_id, verb, why) VALUES (%(workflow)s, 'prune', %(why)s)
    """,
)
