"""The statements that find and wake steps whose wait is over."""

from __future__ import annotations

from runs.queries.database import Statement
from runs.queries.paused_tickets import PAUSE

# The columns that runs.engine.waits needs of a waiting step.
WAIT_COLUMNS = """
    s.run_id, s.item, s.step, s.attempt, s.attempts, s.output, s.config, s.input, s.started_at, s.signal,
    r.version_id, r.input, r.started_at, r.generation, clock_timestamp()
"""

# Index step_run_wake. clock_timestamp() is in a SELECT because a volatile function cannot be an index condition:
# without it the statement would read every waiting row. Locks nothing: the record locks the run, and its fence decides.
DUE_WAITS = Statement(
    "due_waits",
    f"""
    SELECT {WAIT_COLUMNS} FROM runs_steprun s JOIN runs_run r ON r.id = s.run_id
    WHERE s.state = 'waiting' AND s.awaits IS NULL AND s.open_items IS NULL AND s.wake_at <= (SELECT clock_timestamp())
      AND s.error IS NULL
    ORDER BY s.wake_at LIMIT %(limit)s
    """,  # noqa: S608 - constant text only
)

# Steps that wait for the code of their action: waiting rows with an error. Index step_run_wake.
DUE_BLOCKED = Statement(
    "due_blocked",
    """
    SELECT s.run_id, s.item, s.step, r.version_id FROM runs_steprun s JOIN runs_run r ON r.id = s.run_id
    WHERE s.state = 'waiting' AND s.wake_at <= (SELECT clock_timestamp()) AND s.error IS NOT NULL
    ORDER BY s.wake_at LIMIT %(limit)s
    """,
)

# The action is known now: the step gets a ticket. All runs are locked before the first step row is.
UNBLOCK = Statement(
    "unblock",
    f"""
    WITH live AS MATERIALIZED (
        SELECT id, paused_at FROM runs_run
        WHERE id = ANY(%(runs)s::uuid[]) AND state IN ('running', 'waiting', 'compensating')
        ORDER BY id FOR NO KEY UPDATE
    ),
    unblocked AS (
        UPDATE runs_steprun s SET state = 'retrying', wake_at = NULL, error = NULL
        FROM (SELECT count(*) AS n FROM live) AS locked, live,
             unnest(%(runs)s::uuid[], %(items)s::int[], %(steps)s::text[]) AS d(run_id, item, step)
        WHERE locked.n > 0 AND live.id = d.run_id AND s.run_id = d.run_id AND s.item = d.item AND s.step = d.step
          AND s.state = 'waiting' AND s.error IS NOT NULL AND s.wake_at <= clock_timestamp()
        RETURNING s.run_id, s.step, s.item,
            clock_timestamp() + CASE WHEN live.paused_at IS NULL THEN interval '0' ELSE {PAUSE} END AS due_at
    ),
    tickets AS (
        INSERT INTO runs_ticket (run_id, head, item, due_at, knock_at, sends, suspect)
        SELECT run_id, step, item, due_at, due_at, 0, false FROM unblocked RETURNING 1
    ),
    going AS (
        -- Asked of the locked row: in a WHERE, the older snapshot would decide.
        UPDATE runs_run r SET state = CASE WHEN r.state = 'waiting' THEN 'running' ELSE r.state END
        FROM unblocked u WHERE r.id = u.run_id RETURNING 1
    )
    SELECT run_id, item FROM unblocked
    """,  # noqa: S608 - constant text only
)

# The action is still not known: the step is checked again later.
STILL_BLOCKED = Statement(
    "still_blocked",
    """
    WITH mine AS MATERIALIZED (
        -- No run is locked here, so nobody may be waited for: whoever holds a row is about to change it.
        SELECT s.id FROM runs_steprun s JOIN unnest(%(runs)s::uuid[], %(items)s::int[], %(steps)s::text[])
            AS d(run_id, item, step) ON s.run_id = d.run_id AND s.item = d.item AND s.step = d.step
        WHERE s.state = 'waiting' AND s.error IS NOT NULL
        ORDER BY s.run_id, s.step, s.item FOR NO KEY UPDATE OF s SKIP LOCKED
    )
    UPDATE runs_steprun s SET wake_at = clock_timestamp() + %(seconds)s * interval '1 second'
    FROM mine WHERE s.id = mine.id
    """,
)
