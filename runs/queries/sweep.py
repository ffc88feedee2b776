"""The statements of leases and of the sweep. Each is bounded, and answered by a partial index."""

from __future__ import annotations

from runs.queries.database import Statement
from runs.queries.lanes import any_waits
from runs.queries.records import PAUSE, PAUSED_FROM
from runs.queries.signals import WAIT_COLUMNS

# One statement answers whether anything is to do and in how many seconds the next ticket or wait comes due, so that
# an idle installation asks no more than that, and a retry or wait needs no message that the broker holds back.
ANYTHING_DUE = Statement(
    "anything_due",
    f"""
    WITH next AS MATERIALIZED (
        SELECT (SELECT min(knock_at) FROM runs_ticket) AS knock,
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
           EXISTS (SELECT 1 FROM runs_steprun WHERE state = 'cancelled' AND awaits > 0)
    FROM next
    """,  # noqa: S608 - constant text only
)

# Index step_run_wake; the time stands in a SELECT of its own, for a volatile function is no index condition, and the
# statement would look at everything that waits. Locks nothing: waking locks the run first, and its fence decides again.
DUE_WAITS = Statement(
    "due_waits",
    f"""
    SELECT {WAIT_COLUMNS} FROM runs_steprun s JOIN runs_run r ON r.id = s.run_id
    WHERE s.state = 'waiting' AND s.awaits IS NULL AND s.open_items IS NULL AND s.wake_at <= (SELECT clock_timestamp())
      AND s.error IS NULL
    ORDER BY s.wake_at LIMIT %(limit)s
    """,  # noqa: S608 - constant text only
)

# Steps that wait for the code that has their action: a waiting row with an error. Index step_run_wake.
DUE_BLOCKED = Statement(
    "due_blocked",
    """
    SELECT s.run_id, s.item, s.step, r.version_id FROM runs_steprun s JOIN runs_run r ON r.id = s.run_id
    WHERE s.state = 'waiting' AND s.wake_at <= (SELECT clock_timestamp()) AND s.error IS NOT NULL
    ORDER BY s.wake_at LIMIT %(limit)s
    """,
)

# The action is known again: the step gets a ticket. Every run's lock is taken before the first row is touched.
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

# The action is still not known here: looked at again after a while.
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

# Running steps past their deadline, or whose process has no live lease. Locks nothing: the record's fence decides.
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

# Dead letters that nobody was told of yet, oldest first, with the workflow that tells: none where that workflow is also
# somewhere above the run, for it would tell of its own sub-workflows for ever. Index dead_letter_alert_due.
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

# A lease that has passed is not taken up again: no row, and the process must take a new name.
BEAT = Statement(
    "beat",
    """
    INSERT INTO runs_process AS p (id, host, pid, started_at, expires_at)
    VALUES (%(process)s, %(host)s, %(pid)s, clock_timestamp(), clock_timestamp() + %(lease)s * interval '1 second')
    ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at WHERE p.expires_at > clock_timestamp()
    RETURNING 1
    """,
)

# A child that its parent saw die: what it ran is lost now, and not only when the lease has passed.
EXPIRE = Statement(
    "expire",
    """
    UPDATE runs_process SET expires_at = clock_timestamp() - interval '1 millisecond'
    WHERE host = %(host)s AND pid = ANY(%(pids)s::int[]) AND expires_at > clock_timestamp()
    RETURNING 1
    """,
)

# The tickets of a delivery whose child died: knocked for at once, and each alone.
SUSPECT = Statement(
    "suspect",
    """
    WITH mine AS MATERIALIZED (
        SELECT t.id FROM runs_ticket t
        JOIN unnest(%(runs)s::uuid[], %(items)s::int[]) d(run_id, item) ON t.run_id = d.run_id AND t.item = d.item
        WHERE t.head = %(head)s ORDER BY t.run_id, t.item FOR UPDATE OF t SKIP LOCKED
    )
    UPDATE runs_ticket t SET suspect = true, knock_at = least(t.knock_at, greatest(t.due_at, clock_timestamp()))
    FROM mine WHERE t.id = mine.id
    """,
)

# Tickets of which the first knock was sent a moment ago, or was to be sent, by whomever: due again, and it does not
# count. Most are knocked for twice then, which harms nobody. Index ticket_knock_at.
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

# What runs under this name, and whether its run's work was stopped or has ended meanwhile. Index step_run_process.
OWN_RUNNING = Statement(
    "own_running",
    """
    SELECT s.run_id, s.item, s.step, s.attempt,
           r.id IS NULL OR r.ending IS NOT NULL OR r.state NOT IN ('running', 'waiting', 'compensating')
    FROM runs_steprun s LEFT JOIN runs_run r ON r.id = s.run_id
    WHERE s.process = %(process)s AND s.state = 'running'
    """,
)

# Running rows of this process that it does not perform: the claim's answer was lost with its connection. No process
# bears the nil name, so that the next sweep finds them lost.
GIVE_UP = Statement(
    "give_up",
    """
    UPDATE runs_steprun s SET process = '00000000-0000-0000-0000-000000000000', deadline = clock_timestamp()
    FROM unnest(%(runs)s::uuid[], %(items)s::int[], %(steps)s::text[], %(attempts)s::int[])
         AS d(run_id, item, step, attempt)
    WHERE s.run_id = d.run_id AND s.item = d.item AND s.step = d.step AND s.attempt = d.attempt
      AND s.process = %(process)s AND s.state = 'running'
    """,
)

# Kept while a running row names it: the sweep must find the row by its process's passed lease.
FORGET_PROCESSES = Statement(
    "forget_processes",
    """
    DELETE FROM runs_process p WHERE p.expires_at < clock_timestamp()
      AND NOT EXISTS (SELECT 1 FROM runs_steprun s WHERE s.process = p.id AND s.state = 'running')
    """,
)

# What may never be: a live run that nothing moves any more, a retry without its ticket, a ticket of a run that is not
# live, a pause that a ticket does not know of. It alarms and repairs nothing. Bounded by the live runs (index run_live)
# and the tickets; expected rows: none.
AUDIT = Statement(
    "audit",
    f"""
    WITH live AS MATERIALIZED (
        SELECT id, paused_at FROM runs_run WHERE state IN ('running', 'waiting', 'compensating')
    )
    (SELECT live.id, 'a live run has no ticket, and no running or waiting step' FROM live
     WHERE NOT EXISTS (SELECT 1 FROM runs_ticket t WHERE t.run_id = live.id)
       AND NOT EXISTS (SELECT 1 FROM runs_steprun s WHERE s.run_id = live.id AND s.state IN ('running', 'waiting'))
     UNION ALL
     SELECT live.id, 'step ' || s.step || ' is to be retried and has no ticket'
     FROM live JOIN runs_steprun s ON s.run_id = live.id AND s.state = 'retrying'
     WHERE NOT EXISTS (SELECT 1 FROM runs_ticket t WHERE t.run_id = s.run_id AND t.head = s.step AND t.item = s.item)
     UNION ALL
     SELECT s.run_id, 'step ' || s.step || ' waits for signal ' || s.signal || ', which was sent and is kept'
     FROM runs_signal g JOIN runs_steprun s ON s.run_id = g.run_id AND s.signal = g.name AND s.state = 'waiting'
     WHERE g.used_at IS NULL
     UNION ALL
     SELECT t.run_id, 'a ticket at ' || t.head || ' is of a run that is not live' FROM runs_ticket t
     WHERE NOT EXISTS (SELECT 1 FROM live WHERE live.id = t.run_id)
     UNION ALL
     SELECT t.run_id, 'a ticket at ' || t.head || ' is of a step that is ' || s.state FROM runs_ticket t
     JOIN runs_steprun s ON s.run_id = t.run_id AND s.step = t.head AND s.item = t.item
     WHERE s.state <> 'retrying'
     UNION ALL
     SELECT t.run_id, 'a ticket at ' || t.head || ' does not lie as far ahead as its run''s pause says'
     FROM runs_ticket t JOIN live ON live.id = t.run_id
     WHERE CASE WHEN live.paused_at IS NULL THEN greatest(t.due_at, t.knock_at) >= {PAUSED_FROM}
                ELSE least(t.due_at, t.knock_at) < {PAUSED_FROM} END
     UNION ALL
     SELECT s.run_id, 'step ' || s.step || ' waits for items that nothing moves'
     FROM live JOIN runs_steprun s ON s.run_id = live.id AND s.state = 'waiting' AND s.open_items IS NOT NULL
     WHERE (s.open_items = 0 AND s.wake_at IS NULL)
        OR (s.open_items > 0 AND NOT EXISTS (SELECT 1 FROM runs_ticket t WHERE t.run_id = s.run_id AND t.head = s.step)
            AND NOT EXISTS (SELECT 1 FROM runs_steprun i WHERE i.run_id = s.run_id AND i.step = s.step AND i.item >= 0
                            AND i.state IN ('running', 'waiting')))
     UNION ALL
     SELECT s.run_id, 'step ' || s.step || ' waits for a run that has ended or is not there'
     FROM live JOIN runs_steprun s ON s.run_id = live.id AND s.state = 'waiting' AND s.awaits > 0
     WHERE NOT EXISTS (SELECT 1 FROM runs_run c WHERE c.parent_id = s.run_id AND c.parent_step = s.step
                       AND c.parent_item = s.item AND c.parent_attempt = s.attempt AND c.finished_at IS NULL))
    LIMIT %(limit)s
    """,  # noqa: S608 - constant text only
)
