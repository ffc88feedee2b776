"""The statements with which dispatch looks at due tickets, takes them for sending and gives them back."""

from __future__ import annotations

from runs.queries.database import Statement
from runs.queries.lanes import any_waits

# Tickets whose knock is due: released heads, retries, repeats. Index ticket_knock_at. Locks nothing: how many of them
# fit into the window shows only when they are grouped into messages. A last row of NULLs says that runs are queued.
PEEK = Statement(
    "peek",
    f"""
    (SELECT t.id, t.run_id, t.item, r.version_id, t.head, t.suspect
     FROM (SELECT * FROM runs_ticket WHERE knock_at <= (SELECT clock_timestamp()) ORDER BY knock_at LIMIT %(limit)s) t,
          LATERAL (SELECT version_id FROM runs_run WHERE id = t.run_id LIMIT 1) r ORDER BY t.knock_at, t.id)
    UNION ALL
    SELECT NULL, NULL, NULL, NULL, NULL, NULL WHERE {any_waits()}
    """,  # noqa: S608 - constant text only
)

# Take those that are to be sent; who else picks the same ticket loses it. The next knock moves away with every send,
# 10 s doubled each time up to a minute; what stayed unanswered three times is sent alone from then on.
PICK = Statement(
    "pick",
    """
    WITH due AS MATERIALIZED (
        SELECT id FROM runs_ticket WHERE id = ANY(%(tickets)s::bigint[]) AND knock_at <= clock_timestamp()
        ORDER BY run_id, head, item FOR UPDATE SKIP LOCKED
    )
    UPDATE runs_ticket t SET sends = t.sends + 1, suspect = t.suspect OR t.sends >= 3,
        knock_at = clock_timestamp() + least(60, %(repeat)s * 2 ^ least(t.sends, 10)) * interval '1 second'
    WHERE t.id = ANY(ARRAY(SELECT id FROM due)) RETURNING t.id
    """,
)

# Picked but not sent (no room, or the broker is away): due again at once, unless its run was paused meanwhile, and not
# counted as a send. One that somebody holds is being worked on, by an older message.
UNSEND = Statement(
    "unsend",
    """
    WITH mine AS MATERIALIZED (
        SELECT id FROM runs_ticket WHERE id = ANY(%(tickets)s::bigint[]) ORDER BY run_id, head, item
        FOR UPDATE SKIP LOCKED
    )
    UPDATE runs_ticket t SET knock_at = greatest(t.due_at, clock_timestamp()), sends = greatest(0, t.sends - 1)
    WHERE t.id = ANY(ARRAY(SELECT id FROM mine))
    """,
)
