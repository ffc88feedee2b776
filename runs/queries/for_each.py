"""The statements of for_each. The step's own row (item -1) has the number of open items and the next item to open.

Lock order as in runs.queries.records. `open_items` and `progress` are changed only under the run's lock.
"""

from __future__ import annotations

from runs.queries import claims, dead_letters
from runs.queries.database import Statement
from runs.queries.paused_tickets import PAUSE


def _lean(name: str, statement: Statement) -> Statement:
    """Return the statement for items: it leaves out the run's input, which often is the whole list, for each item."""
    return Statement(name, statement.sql.replace("r.input, date_part", "NULL::jsonb, date_part"))


LOAD_ITEMS = _lean("load_items", claims.LOAD)
CLAIM_ITEMS = _lean("claim_items", claims.CLAIM)

# The values of items. One row of runs_itembatch per batch. The lookups are LATERAL for the reason given at
# runs.queries.marks.VIEW_STEPS.
VALUES = Statement(
    "item_values",
    """
    SELECT d.run_id, d.item, b.items -> (d.item %% %(size)s::int)
    FROM unnest(%(runs)s::uuid[], %(items)s::int[]) d(run_id, item)
    CROSS JOIN LATERAL (
        SELECT items FROM runs_itembatch
        WHERE run_id = d.run_id AND step = %(step)s AND number = d.item / %(size)s::int LIMIT 1) b
    """,
)

# The same for a list that is the results of another for_each step: item 3 is the result of that step's item 3.
STREAMED = Statement(
    "streamed_values",
    """
    SELECT d.run_id, d.item, s.result
    FROM unnest(%(runs)s::uuid[], %(items)s::int[]) d(run_id, item)
    CROSS JOIN LATERAL (
        SELECT CASE WHEN state = 'failed' THEN jsonb_build_object('error', error) ELSE output END AS result
        FROM runs_steprun WHERE run_id = d.run_id AND step = %(step)s AND item = d.item LIMIT 1) s
    """,
)

INPUTS = Statement("run_inputs", "SELECT id, input FROM runs_run WHERE id = ANY(%(runs)s::uuid[])")

KEEP = Statement(
    "keep_items",
    """
    INSERT INTO runs_itembatch AS b (run_id, step, number, items)
    SELECT d.run_id, d.step, d.number, d.items::jsonb
    FROM unnest(%(runs)s::uuid[], %(steps)s::text[], %(numbers)s::int[], %(items)s::text[])
         AS d(run_id, step, number, items)
    ON CONFLICT (run_id, step, number) DO UPDATE SET items = excluded.items
    """,
)

# The step's row was written in this transaction, as waiting and due.
BEGIN = Statement(
    "begin_items",
    """
    UPDATE runs_steprun s SET open_items = 0, progress = d.progress::jsonb
    FROM unnest(%(runs)s::uuid[], %(steps)s::text[], %(progresses)s::text[]) AS d(run_id, step, progress)
    WHERE s.run_id = d.run_id AND s.step = d.step AND s.item = -1 AND s.state = 'waiting' RETURNING s.id
    """,
)

# Count items of these steps that have ended. A step's row becomes due if no item is open, or if others may be opened.
ENDED = Statement(
    "items_ended",
    """
    WITH theirs AS MATERIALIZED (
        SELECT s.id, d.succeeded, d.failed, d.skipped, d.succeeded + d.failed + d.skipped AS ended
        FROM unnest(%(runs)s::uuid[], %(steps)s::text[], %(succeeded)s::int[], %(failed)s::int[], %(skipped)s::int[])
             AS d(run_id, step, succeeded, failed, skipped)
        JOIN runs_steprun s ON s.run_id = d.run_id AND s.step = d.step AND s.item = -1 AND s.state = 'waiting'
        ORDER BY s.run_id, s.step FOR NO KEY UPDATE OF s
    )
    UPDATE runs_steprun s SET open_items = s.open_items - t.ended,
        progress = s.progress || jsonb_build_object(
            'succeeded', (s.progress ->> 'succeeded')::int + t.succeeded,
            'failed', (s.progress ->> 'failed')::int + t.failed,
            'skipped', (s.progress ->> 'skipped')::int + t.skipped),
        wake_at = CASE WHEN s.open_items = t.ended OR s.progress ->> 'redo' IS NOT NULL
                         OR (s.progress ->> 'next')::int < (s.progress ->> 'count')::int
                       THEN clock_timestamp() ELSE s.wake_at END
    FROM theirs t WHERE s.id = t.id RETURNING s.id
    """,
)

# Steps whose turn is due, for the sweep. Index step_run_wake.
DUE = Statement(
    "items_due",
    """
    SELECT id FROM runs_steprun
    WHERE state = 'waiting' AND open_items IS NOT NULL AND wake_at <= (SELECT clock_timestamp())
    ORDER BY wake_at LIMIT %(limit)s
    """,
)

# Also runs whose work is over: a stop has cancelled the rows of the work, but later parts may have lists, too.
LOCK = Statement(
    "lock_turn",
    """
    SELECT id FROM runs_run WHERE id IN (SELECT run_id FROM runs_steprun WHERE id = ANY(%(rows)s::bigint[]))
      AND state IN ('running', 'waiting', 'compensating') ORDER BY id FOR NO KEY UPDATE
    """,
)

# Read after the runs are locked, so that no other transaction changes these rows.
TURN = Statement(
    "read_turn",
    """
    SELECT s.id, s.run_id, s.step, r.version_id, s.open_items, s.progress,
           extract(epoch FROM clock_timestamp())::float8
    FROM runs_steprun s JOIN runs_run r ON r.id = s.run_id
    WHERE s.id = ANY(%(rows)s::bigint[]) AND s.run_id = ANY(%(runs)s::uuid[]) AND s.state = 'waiting'
      AND s.open_items IS NOT NULL AND s.wake_at <= clock_timestamp() ORDER BY s.run_id, s.step
    """,
)

# Tickets for the items from `first` up to, but not including, `past`. The step's row waits for them, or until its next
# batch may begin.
OPEN = Statement(
    "open_items",
    f"""
    WITH d AS MATERIALIZED (
        SELECT d.*, s.run_id, s.step,
               clock_timestamp() + CASE WHEN r.paused_at IS NULL THEN interval '0' ELSE {PAUSE} END AS base
        FROM unnest(%(rows)s::bigint[], %(firsts)s::int[], %(pasts)s::int[], %(opens)s::int[], %(progresses)s::text[],
                    %(waits)s::float8[]) AS d(id, first, past, open, progress, wait)
        JOIN runs_steprun s ON s.id = d.id JOIN runs_run r ON r.id = s.run_id
    ),
    tickets AS (
        INSERT INTO runs_ticket (run_id, head, item, due_at, knock_at, sends, suspect)
        SELECT d.run_id, d.step, n, d.base, d.base, 0, false FROM d, generate_series(d.first, d.past - 1) n RETURNING 1
    ),
    going AS (
        UPDATE runs_run r SET state = 'running' FROM d WHERE r.id = d.run_id AND r.state = 'waiting' AND d.open > 0
        RETURNING 1
    )
    UPDATE runs_steprun s SET open_items = d.open, progress = d.progress::jsonb,
        wake_at = clock_timestamp() + d.wait * interval '1 second'
    FROM d WHERE s.id = d.id
    """,  # noqa: S608 - constant text only
)

# Failed items, from `redo` on, of a step that was retried by hand. The retry policy of each starts anew.
REDO = Statement(
    "redo_items",
    f"""
    WITH pick AS MATERIALIZED (
        SELECT id FROM runs_steprun WHERE run_id = %(run)s AND step = %(step)s AND item >= %(redo)s AND state = 'failed'
        ORDER BY item LIMIT %(limit)s FOR NO KEY UPDATE
    ),
    again AS (
        UPDATE runs_steprun s SET state = 'retrying', finished_at = NULL,
            attempts = CASE WHEN jsonb_array_length(s.attempts) = 0 THEN s.attempts
                ELSE jsonb_set(s.attempts, '{{-1,retried_at}}', to_jsonb(clock_timestamp())) END
        FROM pick WHERE s.id = pick.id RETURNING s.run_id, s.step, s.item
    ),
    tickets AS (
        INSERT INTO runs_ticket (run_id, head, item, due_at, knock_at, sends, suspect)
        SELECT a.run_id, a.step, a.item, at.base, at.base, 0, false
        FROM again a JOIN runs_run r ON r.id = a.run_id, LATERAL (
            SELECT clock_timestamp() + CASE WHEN r.paused_at IS NULL THEN interval '0' ELSE {PAUSE} END AS base
        ) at RETURNING 1
    )
    SELECT item FROM again ORDER BY item
    """,  # noqa: S608 - constant text only
)

# Steps that were just retried by hand: one with a list waits again, for its failed items and for those not begun yet.
AGAIN = Statement(
    "items_again",
    """
    WITH mine AS MATERIALIZED (
        SELECT s.id, s.run_id, s.step
        FROM unnest(%(runs)s::uuid[], %(steps)s::text[]) AS d(run_id, step)
        JOIN runs_steprun s ON s.run_id = d.run_id AND s.step = d.step AND s.item = -1
        WHERE s.state = 'retrying' AND s.progress IS NOT NULL ORDER BY s.run_id, s.step FOR NO KEY UPDATE OF s
    ),
    tickets AS (
        DELETE FROM runs_ticket t USING mine m WHERE t.run_id = m.run_id AND t.head = m.step AND t.item = -1 RETURNING 1
    )
    UPDATE runs_steprun s SET state = 'waiting', open_items = 0, wake_at = clock_timestamp(), error = NULL,
        progress = s.progress || '{"failed": 0, "redo": 0}'
    FROM mine WHERE s.id = mine.id
    """,
)

# Those of these steps that have a list already.
BEGUN = Statement(
    "lists_begun",
    """
    SELECT d.run_id, d.step FROM unnest(%(runs)s::uuid[], %(steps)s::text[]) AS d(run_id, step)
    CROSS JOIN LATERAL (
        SELECT progress FROM runs_steprun WHERE run_id = d.run_id AND step = d.step AND item = -1 LIMIT 1) s
    WHERE s.progress IS NOT NULL
    """,
)

# What is needed to record a step whose items have all ended; with the results only if they are few and small. The size
# is that of their text: runs_item_results looks at one item after the other, and no further than to the limit. Last,
# whether each failed item points to an open dead letter; those from `redo` on failed before the list was retried.
FINISH = Statement(
    "finish_items",
    f"""
    SELECT s.run_id, s.step, s.attempt, s.attempts, s.started_at, clock_timestamp(), s.progress, r.input, r.started_at,
           r.generation,
           CASE WHEN (s.progress ->> 'count')::int <= %(results)s
                THEN runs_item_results(s.run_id, s.step, %(bytes)s) END,
           (SELECT jsonb_agg(jsonb_build_object('item', f.item, 'error', f.error) ORDER BY f.item) FROM (
               SELECT item, error FROM runs_steprun
               WHERE run_id = s.run_id AND step = s.step AND item >= 0 AND state = 'failed' ORDER BY item LIMIT 10) f),
           (s.progress ->> 'failed')::int > 0 AND NOT EXISTS (
               SELECT 1 FROM runs_steprun f
               WHERE f.run_id = s.run_id AND f.step = s.step AND f.item >= 0 AND f.state = 'failed'
                 AND f.item < coalesce((s.progress ->> 'redo')::int, f.item + 1)
                 AND NOT EXISTS (
                     SELECT 1 FROM runs_deadletter l
                     WHERE l.run_id = ANY({dead_letters.POINTED.format(error="f.error")})
                       AND l.state = 'open' AND l.workspace_id = r.workspace_id))
    FROM runs_steprun s JOIN runs_run r ON r.id = s.run_id
    WHERE s.id = ANY(%(rows)s::bigint[])
    """,  # noqa: S608 - constant text only
)
