"""The statements of how runs end: stop, compensate, run timeout. None of them is on the path of a run that goes well.

Lock order as in runs.queries.records. Where a statement does not lock the runs itself, its transaction holds them
already.
"""

from __future__ import annotations

from runs.queries.database import Statement

# An outcome of a step whose run is being stopped: what would be tried again or wait is cancelled instead.
CUT_SHORT = Statement(
    "cut_short",
    """
    UPDATE runs_steprun s SET state = 'cancelled', wake_at = NULL, finished_at = clock_timestamp()
    FROM unnest(%(runs)s::uuid[], %(items)s::int[], %(steps)s::text[]) AS d(run_id, item, step)
    WHERE s.run_id = d.run_id AND s.item = d.item AND s.step = d.step AND s.state IN ('retrying', 'waiting')
    """,
)

# Number steps that succeeded, after those of their run that have a number: clocks tie, and the run's lock does not.
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

# Steps that can be undone, the last success first. One that a replay kept has no number: another run did it.
UNDOABLE = Statement(
    "undoable",
    """
    SELECT run_id, step FROM runs_steprun
    WHERE run_id = ANY(%(runs)s::uuid[]) AND item = -1 AND state = 'succeeded' AND seq IS NOT NULL
    ORDER BY run_id, seq DESC
    """,
)

# Runs in which anything is still done or to be done, items of a step included. Rows and tickets in one snapshot.
UNDER_WAY = Statement(
    "under_way",
    """
    SELECT run_id FROM runs_steprun
    WHERE run_id = ANY(%(runs)s::uuid[]) AND state IN ('running', 'retrying', 'waiting')
    UNION
    SELECT run_id FROM runs_ticket WHERE run_id = ANY(%(runs)s::uuid[])
    """,
)
