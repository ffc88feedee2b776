"""The statements of the end of a run: stops and compensation. A run that simply succeeds executes none of them.

Lock order as in runs.queries.records. The transaction has locked the runs before.
"""

from __future__ import annotations

from runs.queries.database import Statement

# Steps that ended in a stopped run: those that would be retried or would wait are cancelled instead.
CUT_SHORT = Statement(
    "cut_short",
    """
    UPDATE runs_steprun s SET state = 'cancelled', wake_at = NULL, finished_at = clock_timestamp()
    FROM unnest(%(runs)s::uuid[], %(items)s::int[], %(steps)s::text[]) AS d(run_id, item, step)
    WHERE s.run_id = d.run_id AND s.item = d.item AND s.step = d.step AND s.state IN ('retrying', 'waiting')
    """,
)

# Number steps that succeeded, continuing after the highest number in their run. Times of success would not do, because
# two may be equal; numbers are given under the run's lock.
NUMBER = Statement(
    "number",
    """
    WITH last AS (
        SELECT run_id, max(seq) AS seq FROM runs_steprun WHERE run_id = ANY(%(runs)s::uuid[]) GROUP BY run_id
    )
    UPDATE runs_steprun s SET seq = coalesce(last.seq, 0) + d.place
    FROM unnest(%(runs)s::uuid[], %(items)s::int[], %(steps)s::text[]) WITH ORDINALITY AS d(run_id, item, step, place)
    JOIN last ON last.run_id = d.run_id
    WHERE s.run_id = d.run_id AND s.item = d.item AND s.step = d.step AND s.state = 'succeeded'
    """,
)

COMPENSATED = Statement(
    "compensated",
    """
    UPDATE runs_steprun s SET state = 'compensated'
    FROM unnest(%(runs)s::uuid[], %(items)s::int[], %(steps)s::text[]) AS d(run_id, item, step)
    WHERE s.run_id = d.run_id AND s.item = d.item AND s.step = d.step AND s.state = 'succeeded'
    """,
)

# Steps that can be compensated, the last success first. A step that a replay kept has no number: another run did it.
UNDOABLE = Statement(
    "undoable",
    """
    SELECT run_id, step FROM runs_steprun
    WHERE run_id = ANY(%(runs)s::uuid[]) AND item = -1 AND state = 'succeeded' AND seq IS NOT NULL
    ORDER BY run_id, seq DESC
    """,
)

# Runs with a step or item that is under way or to be performed. Rows and tickets in one snapshot.
UNDER_WAY = Statement(
    "under_way",
    """
    SELECT run_id FROM runs_steprun
    WHERE run_id = ANY(%(runs)s::uuid[]) AND state IN ('running', 'retrying', 'waiting')
    UNION
    SELECT run_id FROM runs_ticket WHERE run_id = ANY(%(runs)s::uuid[])
    """,
)
