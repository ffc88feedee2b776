"""The statement that checks the invariants: it looks for states that must never occur."""

from __future__ import annotations

from runs.queries.database import Statement
from runs.queries.paused_tickets import PAUSED_FROM

# What must never be, for example: a live run with nothing left to move it, a step to be retried without a ticket, a
# ticket in a run that is not live, a ticket that does not follow its run's pause. Violations are reported and not
# repaired. Bounded by the number of live runs (index run_live) and of tickets; expected rows: none.
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
