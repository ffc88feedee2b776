"""The statements that insert and discard dead letters, and that start their alerts."""

from __future__ import annotations

from runs.queries.database import Statement

# The runs to which the error of a step that waited for a sub-workflow, or the error of its run, points as those that
# have the dead letter: uuid[]. That of a for_each names them at its items. Only for errors that the engine writes.
POINTED = """ARRAY(
    SELECT p::uuid FROM (
        SELECT jsonb_path_query({error}, '$.details.**{{0 to 4}}.dead_letter_run') #>> '{{}}' AS p
        WHERE {error} ->> 'kind' IN ('sub_workflow', 'for_each')
    ) pointed WHERE p ~ '^[0-9a-f]{{8}}(-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}$')"""

# Dead letters whose alert is due, oldest first, each with the workspace's alert workflow. That is NULL if a run above
# the failed one is of this very workflow: it would otherwise alert about its own sub-workflows for ever. Index
# dead_letter_alert_due.
DUE_ALERTS = Statement(
    "due_alerts",
    """
    SELECT l.id, CASE WHEN NOT EXISTS (
               WITH RECURSIVE above AS (
                   SELECT r.parent_id AS id
                   UNION ALL
                   SELECT p.parent_id FROM above JOIN runs_run p ON p.id = above.id
               )
               SELECT 1 FROM above JOIN runs_run p ON p.id = above.id WHERE p.workflow_id = w.alert_workflow_id
           ) THEN w.alert_workflow_id END, f.name, l.run_id, r.labels, l.step, l.item, l.reason, l.error, l.created_at
    FROM runs_deadletter l JOIN runs_run r ON r.id = l.run_id JOIN workflows_workflow f ON f.id = r.workflow_id
    JOIN workflows_workspace w ON w.id = l.workspace_id
    WHERE l.alert_due ORDER BY l.id LIMIT %(limit)s
    """,
)

ALERTED = Statement(
    "alerted",
    """
    WITH mine AS MATERIALIZED (
        SELECT id FROM runs_deadletter WHERE id = ANY(%(letters)s::uuid[]) AND alert_due ORDER BY id FOR NO KEY UPDATE
    )
    UPDATE runs_deadletter l SET alert_due = false FROM mine WHERE l.id = mine.id
    """,
)

DISCARD = Statement(
    "discard",
    """
    WITH mine AS MATERIALIZED (
        SELECT id FROM runs_deadletter WHERE id = ANY(%(letters)s::uuid[]) AND state = 'open'
        ORDER BY id FOR NO KEY UPDATE
    )
    UPDATE runs_deadletter l SET state = 'discarded', resolved_at = clock_timestamp(), resolved_by_id = %(by)s,
        resolution = %(why)s
    FROM mine WHERE l.id = mine.id RETURNING l.id, l.run_id, l.step
    """,
)

# Those of these runs that have an open dead letter. Index of the foreign key.
WITH_OPEN = Statement(
    "with_open_dead_letter",
    "SELECT DISTINCT run_id FROM runs_deadletter WHERE run_id = ANY(%(runs)s::uuid[]) AND state = 'open'",
)

# For steps that have failed for good, in runs that are locked and live.
INSERT_DEAD_LETTERS = Statement(
    "insert_dead_letters",
    """
    INSERT INTO runs_deadletter (id, workspace_id, workflow_id, labels, run_id, step, item, state, reason, error, input,
                                 config, attempts, resolution, alert_due)
    SELECT d.id, r.workspace_id, r.workflow_id, r.labels, d.run_id, d.step, d.item, 'open', d.reason, d.error::jsonb,
           d.input::jsonb, d.config::jsonb, d.attempts::jsonb, '', coalesce(w.alert_workflow_id <> r.workflow_id, false)
    FROM unnest(%(ids)s::uuid[], %(runs)s::uuid[], %(steps)s::text[], %(items)s::int[], %(reasons)s::text[],
                %(errors)s::text[], %(inputs)s::text[], %(configs)s::text[], %(histories)s::text[])
         AS d(id, run_id, step, item, reason, error, input, config, attempts)
    JOIN runs_run r ON r.id = d.run_id JOIN workflows_workspace w ON w.id = r.workspace_id
    """,
)
