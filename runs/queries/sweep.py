"""The statements of the sweep. Each is bounded, and reads a partial index."""

from __future__ import annotations

from runs.queries.database import Statement
from runs.queries.lanes import any_waits
from runs.queries.tickets import SUSPECT as _SUSPECT

# Whether there is anything to do, and in how many seconds the next ticket, wait or deadline is due. So an idle
# installation executes only this statement, and retries and waits need no delayed message in the broker.
ANYTHING_DUE = Statement(
    "anything_due",
    f"""
    WITH next AS MATERIALIZED (
        SELECT (SELECT min(knock_at) FROM runs_ticket WHERE NOT ({_SUSPECT})) AS knock,
               (SELECT min(wake_at) FROM runs_steprun WHERE state = 'waiting') AS wake,
               (SELECT min(deadline) FROM runs_run
                WHERE deadline IS NOT NULL AND ending IS NULL AND paused_at IS NULL
                  AND state IN ('running', 'waiting')) AS ends,
               clock_timestamp() AS at
    )
    SELECT coalesce(knock <= at, false) OR {any_waits()},
           coalesce(wake <= at, false),
           EXISTS (SELECT 1 FROM runs_steprun WHERE state = 'running' AND deadline < clock_timestamp())
        OR EXISTS (SELECT 1 FROM runs_process WHERE expires_at < clock_timestamp()),
           coalesce(ends <= at, false),
           extract(epoch FROM least(CASE WHEN knock > at THEN knock END, CASE WHEN wake > at THEN wake END,
                                    CASE WHEN ends > at THEN ends END) - at)::float8,
           (SELECT array_agg(pid) FROM runs_process WHERE host = %(host)s AND expires_at > clock_timestamp()),
           EXISTS (SELECT 1 FROM runs_deadletter WHERE alert_due),
           EXISTS (SELECT 1 FROM runs_steprun WHERE state = 'cancelled' AND awaits > 0),
           EXISTS (SELECT 1 FROM runs_ticket WHERE ({_SUSPECT}) AND knock_at <= (SELECT clock_timestamp()))
    FROM next
    """,  # noqa: S608 - constant text only
)

# Running steps that are past their deadline, or whose process has no live lease. Locks nothing: the record's fence
# decides.
LOST = Statement(
    "lost",
    """
    SELECT s.run_id, s.item, s.step, s.attempt, s.attempts, s.process, s.started_at, clock_timestamp(),
           s.deadline < clock_timestamp() AND s.process <> '00000000-0000-0000-0000-000000000000',
           r.version_id, r.input, r.started_at, r.generation
    FROM runs_steprun s JOIN runs_run r ON r.id = s.run_id
    WHERE s.state = 'running' AND (s.deadline < clock_timestamp() OR NOT EXISTS (
        SELECT 1 FROM runs_process p WHERE p.id = s.process AND p.expires_at > clock_timestamp()))
    LIMIT %(limit)s
    """,
)

# The tickets of deliveries whose worker child died: each is performed alone, at once. Locked in the order of run, head
# and item.
SUSPECT = Statement(
    "suspect",
    """
    WITH mine AS MATERIALIZED (
        SELECT t.id
        FROM (SELECT * FROM unnest(%(runs)s::uuid[], %(items)s::int[], %(steps)s::text[]) d(run_id, item, head)
              ORDER BY run_id, head, item) d,
            LATERAL (SELECT id FROM runs_ticket WHERE run_id = d.run_id AND head = d.head AND item = d.item
                     FOR UPDATE SKIP LOCKED) t
    )
    UPDATE runs_ticket t SET suspect = true, knock_at = least(t.knock_at, greatest(t.due_at, clock_timestamp()))
    WHERE t.id = ANY(ARRAY(SELECT id FROM mine))
    """,
)

# Tickets whose first message was sent, or was to be sent, within the last `seconds`, by any process: they are due
# again, and that message does not count. Most tickets then get two messages, which is harmless. Index ticket_knock_at.
RECALL = Statement(
    "recall",
    """
    WITH mine AS MATERIALIZED (
        SELECT id FROM runs_ticket WHERE id = ANY(ARRAY(
            SELECT id FROM runs_ticket
            WHERE knock_at > (SELECT clock_timestamp() + (%(repeat)s::float8 - %(seconds)s) * interval '1 second')
              AND knock_at <= (SELECT clock_timestamp() + %(repeat)s * interval '1 second')
              AND sends = 1 AND NOT suspect
            ORDER BY knock_at DESC LIMIT %(limit)s
        )) ORDER BY run_id, head, item FOR UPDATE SKIP LOCKED
    )
    UPDATE runs_ticket SET knock_at = greatest(due_at, clock_timestamp()), sends = 0
    WHERE id = ANY(ARRAY(SELECT id FROM mine))
    """,
)
