"""The statements of sub-workflows: resolve the version, insert the child run, and wake its parent's step.

A child is a sub-workflow run. Lock order as in runs.queries.records. The end of a child locks its parent's waiting step
row, as the last lock of its transaction, and no other row of its parent: parents and children are locked in separate
transactions.
"""

from __future__ import annotations

from runs.queries import dead_letters
from runs.queries.database import Statement
from runs.queries.starts import PAUSED_WITH_RECIPE


def _supersede(arrays: str, names: str, which: str = "") -> str:
    return f"""
    WITH RECURSIVE below AS (
        SELECT c.id FROM unnest({arrays}) AS d({names})
        JOIN runs_run c ON c.parent_id = d.run_id AND c.parent_step = d.step AND c.state = 'failed' {which}
        UNION ALL
        SELECT c.id FROM below b JOIN runs_run c ON c.parent_id = b.id AND c.state = 'failed'
    ),
    mine AS MATERIALIZED (
        SELECT l.id FROM runs_deadletter l WHERE l.run_id IN (SELECT id FROM below) AND l.state = 'open'
        ORDER BY l.id FOR NO KEY UPDATE
    )
    UPDATE runs_deadletter l SET state = 'retried', resolved_at = clock_timestamp(), resolved_by_id = %(by)s,
        resolution = %(why)s
    FROM mine WHERE l.id = mine.id
    """  # noqa: S608 - constant text only


# Find the workflow in the parent's workspace, by name, by id, or by an old name, and its version. NULLs if there is
# none. One row for each child requested; indexes workflow_name_once, workflow_alias_once and the primary keys.
RESOLVE = Statement(
    "resolve_children",
    """
    SELECT d.number, p.depth, w.id, v.id
    FROM unnest(%(numbers)s::int[], %(runs)s::uuid[], %(names)s::text[], %(keys)s::uuid[], %(versions)s::int[])
         AS d(number, run_id, name, key, version)
    JOIN runs_run p ON p.id = d.run_id
    LEFT JOIN LATERAL (
        SELECT w.id, w.current_id FROM workflows_workflow w
        WHERE w.workspace_id = p.workspace_id AND w.kind = 'workflow' AND w.archived_at IS NULL
              AND (w.name = d.name OR w.id = d.key OR w.id = (
                  SELECT a.workflow_id FROM workflows_workflowalias a
                  WHERE a.workspace_id = p.workspace_id AND a.name = d.name))
        ORDER BY w.name = d.name DESC, coalesce(w.id = d.key, false) DESC LIMIT 1
    ) w ON true
    LEFT JOIN workflows_version v
        ON v.workflow_id = w.id AND CASE WHEN d.version IS NULL THEN v.id = w.current_id ELSE v.number = d.version END
    """,
)

# Insert the children of attempts whose fence held, in the transaction that writes their parents' step rows. Besides the
# new rows it locks their workflows and versions, as START (runs.queries.starts) does. A version that was deleted
# meanwhile is an error.
SPAWN = Statement(
    "spawn",
    f"""
    WITH recipe AS MATERIALIZED (
        SELECT v.id, v.workflow_id, v.definition, w.paused_at
        FROM workflows_version v JOIN workflows_workflow w ON w.id = v.workflow_id
        WHERE v.id = ANY(%(versions)s::uuid[]) ORDER BY w.id, v.id FOR KEY SHARE OF w, v
    )
    INSERT INTO runs_run (id, workspace_id, workflow_id, version_id, state, source, labels, input, generation,
                          parent_id, parent_step, parent_item, parent_attempt, depth, priority, paused_at,
                          paused_through)
    SELECT d.id, p.workspace_id, recipe.workflow_id, recipe.id, 'queued', 'sub_workflow',
           coalesce(recipe.definition -> 'labels', '{{}}') || d.labels::jsonb, d.input::jsonb, 1,
           p.id, d.step, d.item, d.attempt, p.depth + 1, p.priority, {PAUSED_WITH_RECIPE}
    FROM unnest(%(ids)s::uuid[], %(parents)s::uuid[], %(steps)s::text[], %(items)s::int[], %(attempts)s::int[],
                %(versions)s::uuid[], %(labels)s::text[], %(inputs)s::text[])
         AS d(id, parent_id, step, item, attempt, version_id, labels, input)
    JOIN runs_run p ON p.id = d.parent_id LEFT JOIN recipe ON recipe.id = d.version_id
    ORDER BY d.id
    ON CONFLICT (parent_id, parent_step, parent_item, parent_attempt) WHERE parent_id IS NOT NULL DO NOTHING
    """,  # noqa: S608 - constant text only
)

# Make the step rows due that wait for these runs, which have ended in this transaction. Index step_run_wake then finds
# them.
CHILDREN_ENDED = Statement(
    "children_ended",
    """
    WITH theirs AS MATERIALIZED (
        SELECT s.id FROM runs_run c JOIN runs_steprun s
            ON s.run_id = c.parent_id AND s.step = c.parent_step AND s.item = c.parent_item
        WHERE c.id = ANY(%(runs)s::uuid[]) AND c.finished_at IS NOT NULL
          AND s.state = 'waiting' AND s.awaits > 0 AND s.attempt = c.parent_attempt
        ORDER BY s.run_id, s.step, s.item FOR NO KEY UPDATE OF s
    )
    UPDATE runs_steprun s SET awaits = 0, wake_at = clock_timestamp() FROM theirs WHERE s.id = theirs.id
    RETURNING s.id
    """,
)

# Let step rows wait again for these runs, which were retried by hand in this transaction before their parents had
# continued with their failure.
AWAITED_AGAIN = Statement(
    "awaited_again",
    """
    WITH theirs AS MATERIALIZED (
        SELECT s.id FROM runs_run c JOIN runs_steprun s
            ON s.run_id = c.parent_id AND s.step = c.parent_step AND s.item = c.parent_item
        WHERE c.id = ANY(%(runs)s::uuid[]) AND s.state = 'waiting' AND s.awaits = 0 AND s.attempt = c.parent_attempt
        ORDER BY s.run_id, s.step, s.item FOR NO KEY UPDATE OF s
    )
    UPDATE runs_steprun s SET awaits = 1, wake_at = NULL FROM theirs WHERE s.id = theirs.id
    """,
)

# Waiting step rows whose child has ended, for the sweep. Index step_run_wake.
ANSWERED = Statement(
    "answered",
    """
    SELECT id FROM runs_steprun
    WHERE state = 'waiting' AND awaits = 0 AND wake_at <= (SELECT clock_timestamp()) ORDER BY wake_at LIMIT %(limit)s
    """,
)

# The result of the child of each of these rows. Locks nothing: the record's fence decides.
ANSWERS = Statement(
    "answers",
    f"""
    SELECT s.run_id, s.item, s.step, s.attempt, s.attempts, s.config, s.started_at, clock_timestamp(), r.version_id,
           r.input, r.started_at, r.generation, c.id, w.name, c.state, c.input, c.output, c.error,
           (SELECT l.run_id FROM runs_deadletter l
            WHERE l.run_id = ANY(c.id || {dead_letters.POINTED.format(error="c.error")})
              AND c.state = 'failed' AND l.state = 'open' AND l.workspace_id = c.workspace_id LIMIT 1)
    FROM runs_steprun s JOIN runs_run r ON r.id = s.run_id
    LEFT JOIN runs_run c ON c.parent_id = s.run_id AND c.parent_step = s.step AND c.parent_item = s.item
                        AND c.parent_attempt = s.attempt
    LEFT JOIN workflows_workflow w ON w.id = c.workflow_id
    WHERE s.id = ANY(%(rows)s::bigint[]) AND s.state = 'waiting' AND s.awaits = 0 ORDER BY s.run_id, s.step, s.item
    """,  # noqa: S608 - constant text only
)

# Cancelled step rows whose children are not cancelled yet, and those children. Index step_run_orphans, normally empty.
ORPHANS = Statement(
    "orphans",
    """
    SELECT s.id, c.id FROM (
        SELECT * FROM runs_steprun WHERE state = 'cancelled' AND awaits > 0 ORDER BY id LIMIT %(limit)s
    ) s
    LEFT JOIN runs_run c ON c.parent_id = s.run_id AND c.parent_step = s.step AND c.parent_item = s.item
                        AND c.parent_attempt = s.attempt AND c.finished_at IS NULL
    """,
)

ORPHANS_ENDED = Statement(
    "orphans_ended",
    """
    WITH mine AS MATERIALIZED (
        SELECT id FROM runs_steprun WHERE id = ANY(%(rows)s::bigint[]) ORDER BY run_id, step, item FOR NO KEY UPDATE
    )
    UPDATE runs_steprun s SET awaits = NULL FROM mine WHERE s.id = mine.id AND s.state = 'cancelled'
    """,
)

# Step rows that wait for a run that has ended or does not exist: no verb leaves such a row. Bounded by the waiting
# rows.
STRANDED = Statement(
    "stranded",
    """
    SELECT s.id FROM runs_steprun s
    LEFT JOIN runs_run c ON c.parent_id = s.run_id AND c.parent_step = s.step AND c.parent_item = s.item
                        AND c.parent_attempt = s.attempt
    WHERE s.state = 'waiting' AND s.awaits > 0 AND (c.id IS NULL OR c.finished_at IS NOT NULL)
    LIMIT %(limit)s
    """,
)

WAKE_STRANDED = Statement(
    "wake_stranded",
    """
    WITH mine AS MATERIALIZED (
        SELECT id FROM runs_steprun WHERE id = ANY(%(rows)s::bigint[]) AND state = 'waiting'
        ORDER BY run_id, step, item FOR NO KEY UPDATE
    )
    UPDATE runs_steprun s SET awaits = 0, wake_at = clock_timestamp() FROM mine WHERE s.id = mine.id
    """,
)

# Of those of the runs that have failed: the children that were started by steps of on_failure and finally, or by
# compensations that failed. Index run_child_once.
OF_ENDINGS = Statement(
    "children_of_endings",
    """
    SELECT c.id FROM runs_run r JOIN workflows_version v ON v.id = r.version_id
    CROSS JOIN LATERAL jsonb_array_elements(
        coalesce(v.definition -> 'on_failure', '[]') || coalesce(v.definition -> 'finally', '[]')) s
    JOIN runs_run c ON c.parent_id = r.id AND c.parent_step = s ->> 'id'
    WHERE r.id = ANY(%(runs)s::uuid[]) AND r.state = 'failed'
    UNION
    SELECT c.id FROM runs_run r
    JOIN runs_steprun s ON s.run_id = r.id AND s.state = 'failed' AND starts_with(s.step, %(undo)s)
    JOIN runs_run c ON c.parent_id = r.id AND c.parent_step = s.step
    WHERE r.id = ANY(%(runs)s::uuid[]) AND r.state = 'failed'
    """,
)

# Detach these children from these parents; all are locked. The parents' steps begin anew, and may start new children.
LET_GO = Statement(
    "let_go", "UPDATE runs_run SET parent_id = NULL WHERE id = ANY(%(children)s::uuid[]) AND parent_id = ANY(%(runs)s)"
)

# The failed steps, and items of for_each steps, that these failed runs made fail, and those above them, up to the top:
# child, parent, step, item, attempt. A parent whose work cannot go on (it timed out, was terminated, or is being
# compensated) ends the way up, and so does one that has not ended. Primary keys; locks nothing.
ABOVE = Statement(
    "above",
    """
    WITH RECURSIVE above AS (
        SELECT c.id AS child, c.parent_id, c.parent_step, c.parent_item, c.parent_attempt FROM runs_run c
        WHERE c.id = ANY(%(runs)s::uuid[]) AND c.parent_id IS NOT NULL
        UNION
        SELECT p.id, p.parent_id, p.parent_step, p.parent_item, p.parent_attempt
        FROM above a JOIN runs_run p ON p.id = a.parent_id WHERE p.state = 'failed' AND p.parent_id IS NOT NULL
    )
    SELECT a.child, a.parent_id, a.parent_step, a.parent_item, a.parent_attempt FROM above a
    JOIN runs_run p ON p.id = a.parent_id
                   AND (p.state = 'failed' OR (p.state IN ('running', 'waiting') AND p.ending IS NULL))
    JOIN runs_steprun s ON s.run_id = p.id AND s.step = a.parent_step AND s.item = a.parent_item
                       AND s.state = 'failed' AND s.attempt = a.parent_attempt
    WHERE coalesce(p.error->>'reason', '') <> 'timed_out' AND p.error->'terminated' IS NULL
      AND NOT EXISTS (SELECT 1 FROM runs_steprun u WHERE u.run_id = p.id AND starts_with(u.step, %(undo)s))
    """,
)

# Let the failed steps and items of these locked runs wait again for the children that are retried. The step of an item
# goes on with its list, as by AGAIN (runs.queries.for_each), but for the other failed items; of those, the ones from
# `redo` on are not counted as failed. The rows of the steps that were blocked are deleted, as by RETRY
# (runs.queries.retries). A run that has not ended keeps its state, pause and deadline.
AWAIT_RETRIED = Statement(
    "await_retried",
    """
    WITH again AS (
        SELECT * FROM unnest(%(runs)s::uuid[], %(steps)s::text[], %(items)s::int[], %(attempts)s::int[],
                             %(children)s::uuid[]) AS d(run_id, step, item, attempt, child)
    ),
    rows AS (
        UPDATE runs_steprun s SET state = 'waiting', awaits = 1, wake_at = NULL, finished_at = NULL, error = NULL,
            output = jsonb_build_object('run', a.child)
        FROM again a WHERE s.run_id = a.run_id AND s.step = a.step AND s.item = a.item AND s.state = 'failed'
            AND s.attempt = a.attempt
        RETURNING s.run_id, s.step, s.item
    ),
    lists AS (
        UPDATE runs_steprun s SET state = 'waiting', finished_at = NULL, error = NULL, wake_at = clock_timestamp(),
            open_items = cardinality(i.items) + CASE WHEN s.state = 'waiting' THEN s.open_items ELSE 0 END,
            progress = s.progress || jsonb_build_object('failed', (s.progress ->> 'failed')::int - (
                SELECT count(*) FROM unnest(i.items) AS one(item)
                WHERE one.item < coalesce((s.progress ->> 'redo')::int, one.item + 1)))
        FROM (SELECT run_id, step, array_agg(item) AS items FROM rows WHERE item >= 0 GROUP BY run_id, step) i
        WHERE s.run_id = i.run_id AND s.step = i.step AND s.item = -1 AND s.state IN ('failed', 'waiting')
        RETURNING s.run_id
    ),
    unblocked AS (
        DELETE FROM runs_steprun s
        USING unnest(%(blocked_runs)s::uuid[], %(blocked_steps)s::text[]) AS d(run_id, step)
        WHERE s.run_id = d.run_id AND s.step = d.step AND s.state <> 'running' RETURNING 1
    ),
    letters AS (
        UPDATE runs_deadletter l SET state = 'retried', resolved_at = clock_timestamp(), resolved_by_id = %(by)s,
            resolution = %(why)s
        FROM (SELECT run_id, step FROM again
              UNION SELECT * FROM unnest(%(blocked_runs)s::uuid[], %(blocked_steps)s::text[])) AS a(run_id, step)
        WHERE l.run_id = a.run_id AND l.step = a.step AND l.state = 'open' RETURNING 1
    )
    UPDATE runs_run r SET
        state = CASE WHEN r.id IN (SELECT run_id FROM lists) THEN 'running'
                     WHEN r.state = 'failed' THEN 'waiting' ELSE r.state END,
        finished_at = NULL, error = NULL,
        paused_at = CASE WHEN r.state <> 'failed' THEN r.paused_at END,
        paused_through = CASE WHEN r.state <> 'failed' THEN r.paused_through END,
        deadline = CASE WHEN r.state <> 'failed' THEN r.deadline ELSE clock_timestamp()
            + (SELECT v.timeout FROM workflows_version v WHERE v.id = r.version_id) * interval '1 second' END
    WHERE r.id IN (SELECT run_id FROM rows) RETURNING r.id
    """,
)

# For each of these runs: the first run above it that does not wait for it, because it failed by it and stays as it is.
# Primary keys; locks nothing.
KEPT_ABOVE = Statement(
    "kept_above",
    """
    WITH RECURSIVE above AS (
        SELECT c.id AS below, c.parent_id, c.parent_step, c.parent_item, c.parent_attempt FROM runs_run c
        WHERE c.id = ANY(%(runs)s::uuid[]) AND c.parent_id IS NOT NULL
        UNION ALL
        SELECT a.below, p.parent_id, p.parent_step, p.parent_item, p.parent_attempt
        FROM above a JOIN runs_run p ON p.id = a.parent_id
        JOIN runs_steprun s ON s.run_id = p.id AND s.step = a.parent_step AND s.item = a.parent_item
                           AND s.state = 'waiting' AND s.attempt = a.parent_attempt
        WHERE p.parent_id IS NOT NULL
    )
    SELECT a.below, p.id, w.name, a.parent_step, s.attempt > a.parent_attempt, p.state, p.ending,
           coalesce(p.error->>'reason', ''), p.error->'terminated' IS NOT NULL,
           EXISTS (SELECT 1 FROM runs_steprun u WHERE u.run_id = p.id AND starts_with(u.step, %(undo)s))
    FROM above a JOIN runs_run p ON p.id = a.parent_id JOIN workflows_workflow w ON w.id = p.workflow_id
    JOIN runs_steprun s ON s.run_id = p.id AND s.step = a.parent_step AND s.item = a.parent_item
                       AND (s.state = 'failed' OR s.attempt > a.parent_attempt)
    """,
)

# The first ten children of this run that made a step or item of it fail, and were retried by hand since, so that they
# go on or have succeeded, while this run stays as it is. Index run_child_once.
RETRIED_BELOW = Statement(
    "retried_below",
    """
    SELECT c.id, c.parent_step, c.parent_item, c.state FROM runs_run c
    JOIN runs_steprun s ON s.run_id = c.parent_id AND s.step = c.parent_step AND s.item = c.parent_item
                       AND s.attempt = c.parent_attempt AND s.state = 'failed'
    WHERE c.parent_id = %(run)s AND c.state NOT IN ('failed', 'cancelled', 'compensated')
      AND EXISTS (SELECT 1 FROM runs_intervention i WHERE i.run_id = c.id AND i.verb = 'retry')
    ORDER BY c.parent_step, c.parent_item LIMIT 10
    """,
)

# Close the dead letters below these steps, which start new children: those of the failed children that they had, and of
# the failed runs below these. Index run_child_once.
SUPERSEDE_LETTERS = Statement("supersede_letters", _supersede("%(runs)s::uuid[], %(steps)s::text[]", "run_id, step"))

# The same below steps and items that their retry policy starts anew: those of earlier attempts.
SUPERSEDE_ATTEMPTS = Statement(
    "supersede_attempts",
    _supersede(
        "%(runs)s::uuid[], %(steps)s::text[], %(items)s::int[], %(attempts)s::int[]",
        "run_id, step, item, attempt",
        "AND c.parent_item = d.item AND c.parent_attempt < d.attempt",
    ),
)
