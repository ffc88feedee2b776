"""The statements by which dispatch looks at due tickets, picks them for sending, and returns those not sent."""

from __future__ import annotations

from runs.queries.database import Statement
from runs.queries.lanes import any_waits

# Three messages did not move the ticket, or its worker died: no message is sent for it any more; it is performed alone
# (runs.maintenance.suspects). Index ticket_suspect.
SUSPECT = "suspect OR sends >= 3"

# Tickets for which a message is due: released heads, retries, repeats. Index ticket_knock_at. Locks nothing: only when
# the tickets are grouped into messages is it known how many fit into the window. A last row of NULLs means that runs
# are queued.
PEEK = Statement(
    "peek",
    f"""
    (SELECT t.id, t.run_id, t.item, r.version_id, t.head
     FROM (SELECT * FROM runs_ticket WHERE knock_at <= (SELECT clock_timestamp()) AND NOT ({SUSPECT})
           ORDER BY knock_at LIMIT %(limit)s) t,
          LATERAL (SELECT version_id FROM runs_run WHERE id = t.run_id LIMIT 1) r ORDER BY t.knock_at, t.id)
    UNION ALL
    SELECT NULL, NULL, NULL, NULL, NULL WHERE {any_waits()}
    """,  # noqa: S608 - constant text only
)

_LIVE = "state IN ('compensating', 'running', 'waiting')"

# Due tickets of every workspace, while one has a long backlog: a loose scan of index run_live finds the workspaces that
# have live runs, after workspace `after`, and each gets an equal share of the room, from its newest runs. No row if
# only one has live runs. Locks nothing.
PEEK_SHARES = Statement(
    "peek_shares",
    f"""
    WITH RECURSIVE live AS (
        (SELECT workspace_id, 1 AS number FROM runs_run
         WHERE {_LIVE} AND workspace_id > %(after)s ORDER BY workspace_id LIMIT 1)
        UNION ALL
        SELECT (SELECT r.workspace_id FROM runs_run r
                WHERE r.{_LIVE} AND r.workspace_id > l.workspace_id ORDER BY r.workspace_id LIMIT 1), l.number + 1
        FROM live l WHERE l.workspace_id IS NOT NULL AND l.number < %(workspaces)s
    ),
    spaces AS MATERIALIZED (SELECT workspace_id AS id FROM live WHERE workspace_id IS NOT NULL)
    SELECT spaces.id, turn.* FROM spaces, LATERAL (
        SELECT t.id, t.run_id, t.item, r.version_id, t.head
        FROM (VALUES ('running'), ('compensating')) s(state),
             LATERAL (SELECT id, version_id FROM runs_run
                      WHERE workspace_id = spaces.id AND state = s.state AND {_LIVE}
                      ORDER BY id DESC LIMIT %(runs)s) r,
             LATERAL (SELECT * FROM runs_ticket
                      WHERE run_id = r.id AND knock_at <= (SELECT clock_timestamp()) AND NOT ({SUSPECT})
                      LIMIT %(limit)s) t
        LIMIT greatest(8, %(limit)s::int / (SELECT count(*) FROM spaces))
    ) turn
    WHERE (SELECT count(*) FROM spaces) > 1
    """,  # noqa: S608 - constant text only
)

# Take the tickets that are to be sent; of two dispatchers that pick the same ticket, one wins it. The message is
# repeated after 10 s, doubled with each send up to a minute.
PICK = Statement(
    "pick",
    """
    WITH due AS MATERIALIZED (
        SELECT id FROM runs_ticket WHERE id = ANY(%(tickets)s::bigint[]) AND knock_at <= clock_timestamp()
        ORDER BY run_id, head, item FOR UPDATE SKIP LOCKED
    )
    UPDATE runs_ticket t SET sends = t.sends + 1,
        knock_at = clock_timestamp() + least(60, %(repeat)s * 2 ^ least(t.sends, 10)) * interval '1 second'
    WHERE t.id = ANY(ARRAY(SELECT id FROM due)) RETURNING t.id
    """,
)

# Take suspects that are due, to perform them alone; the next look at them is after the same time as that of a message.
PICK_SUSPECTS = Statement(
    "pick_suspects",
    f"""
    WITH due AS MATERIALIZED (
        SELECT id, run_id FROM runs_ticket
        WHERE ({SUSPECT}) AND knock_at <= (SELECT clock_timestamp()) AND due_at <= (SELECT clock_timestamp())
        ORDER BY knock_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    ),
    picked AS (
        UPDATE runs_ticket t SET sends = t.sends + 1, suspect = true,
            knock_at = clock_timestamp() + least(60, %(repeat)s * 2 ^ least(t.sends, 10)) * interval '1 second'
        WHERE t.id = ANY(ARRAY(SELECT id FROM due)) RETURNING t.id, t.run_id, t.item, t.head
    )
    SELECT p.id, p.run_id, p.item, r.version_id, p.head
    FROM picked p, LATERAL (SELECT version_id FROM runs_run WHERE id = p.run_id LIMIT 1) r
    """,  # noqa: S608 - constant text only
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
