"""The statements by which dispatch looks at due tickets, picks them for sending, and returns those not sent."""

from __future__ import annotations

from runs.queries.database import Statement
from runs.queries.lanes import any_waits

# Tickets for which a message is due: released heads, retries, repeats. Index ticket_knock_at. Locks nothing: only when
# the tickets are grouped into messages is it known how many fit into the window. A last row of NULLs means that runs
# are queued.
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

# Take the tickets that are to be sent; of two dispatchers that pick the same ticket, one wins it. The message is
# repeated after 10 s, doubled with each send up to a minute. After three messages without effect the ticket is a
# suspect: it is sent alone from then on.
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

# Tickets that were picked but not sent (no room, or no broker): due again at once, unless their run was paused
# meanwhile, and the send does not count. A locked ticket is left out: a delivery of an older message is at it.
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
