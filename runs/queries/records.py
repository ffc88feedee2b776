"""The statements that record what steps came to, and release what follows; and the rules for every statement here.

Lock order: gate, signal (advisory), run (ids ascending), ticket, step run, process. A statement that locks a set does
so in a MATERIALIZED CTE with ORDER BY, because `id = ANY(...)` alone locks in plan order and deadlocks. A statement
that locks never decides what depends on other rows: its snapshot is older than the lock it waited for. Only the
database's clock counts: clock_timestamp(), because now() stands still inside a transaction.

Plans are kept and know little: an array counts as ten rows, locked runs as one. So a set is named once, and what
belongs to each of it looked up by LATERAL with LIMIT 1 or a lock, which leaves no other plan: where two sets are
joined, one may be read from end to end for each row of the other.
"""

from __future__ import annotations

from runs.queries.database import Statement
from runs.queries.paused_tickets import PAUSE

# What is brought for each run: parameters and columns.
_TICKET = ("%(items)s::int[], %(tickets)s::bigint[]", "item, ticket")
_OUTCOME = (
    """%(items)s::int[], %(steps)s::text[], %(tries)s::int[], %(processes)s::uuid[], %(states)s::text[],
       %(outputs)s::text[], %(errors)s::text[], %(configs)s::text[], %(histories)s::text[], %(wakes)s::timestamptz[],
       %(signals)s::text[], %(signal_keys)s::text[], %(awaits)s::int[]""",
    """item, step, attempt, process, state, output, error, config, attempts, wake_at, signal, signal_key, awaits""",
)
_END = (
    "%(end_states)s::text[], %(end_outputs)s::text[], %(end_errors)s::text[], %(end_endings)s::text[]",
    "end_state, end_output, end_error, end_ending",
)
_NEXT = (
    """%(next_heads)s::text[], %(next_items)s::int[], %(next_dues)s::float8[], %(next_knocks)s::float8[],
       %(next_sends)s::int[], %(next_suspects)s::bool[]""",
    "next_head, next_item, due, knock, next_sends, next_suspect",
)


def _brought(*parts: tuple[str, str]) -> str:
    """`d`: what is brought, in the order of locks, with each run as it stands now that its lock is held."""
    arrays = ", ".join(["%(runs)s::uuid[]", *(part[0] for part in parts)])
    names = ", ".join(["run_id", *(part[1] for part in parts)])
    return f"""
    d AS MATERIALIZED (
        SELECT * FROM (SELECT * FROM unnest({arrays}) AS d({names}) ORDER BY run_id) d
        LEFT JOIN LATERAL (
            SELECT state AS run_state, ending, parent_id IS NOT NULL AS below, paused_at
            FROM runs_run WHERE id = d.run_id FOR NO KEY UPDATE
        ) r ON true
    )
    """  # noqa: S608 - constant text only


# The fences. Each names the runs that this delivery won; a lost one is a no-op, and so is one of a run that was paused
# before it was looked at: its tickets are not due. Reading all of `d` first takes every run's lock before the first
# ticket or row is touched: a plain join would take them in turn. IS TRUE keeps the planner from making joins.
_ALIVE = "(d.run_state IN ('running', 'waiting', 'compensating'))"
_FENCE_TICKET = f"""
    gone AS (
        DELETE FROM runs_ticket
        WHERE id = ANY(ARRAY(SELECT d.ticket FROM d WHERE {_ALIVE})) AND due_at <= clock_timestamp()
          AND ((id, run_id, item) IN (SELECT d.ticket, d.run_id, d.item FROM d)) IS TRUE RETURNING id
    ),
    won AS (SELECT true AS alive, d.* FROM d WHERE (d.ticket IN (SELECT id FROM gone)) IS TRUE)
"""  # noqa: S608 - constant text only
# On a run that has ended meanwhile nothing is to follow: what would wait or be retried is cancelled instead.
_GIVEN_UP = f"CASE WHEN d.state IN ('retrying', 'waiting') AND {_ALIVE} IS NOT TRUE THEN 'cancelled' ELSE d.state END"
_SET_STEP = f"""
    state = {_GIVEN_UP}, process = NULL, deadline = NULL, output = d.output::jsonb, error = d.error::jsonb,
    config = d.config::jsonb, attempts = d.attempts::jsonb,
    wake_at = CASE WHEN {_ALIVE} THEN d.wake_at END, signal = d.signal, signal_key = d.signal_key,
    awaits = CASE WHEN {_ALIVE} THEN d.awaits END,
    finished_at = CASE WHEN {_GIVEN_UP} NOT IN ('retrying', 'waiting') THEN clock_timestamp() END
"""
# The row's state is asked so that no index of rows in that state fits: the planner might begin with all of these.
_ROW = """
    (SELECT count(*) FROM d) >= 0 AND s.run_id = d.run_id AND s.step = d.step AND s.item = d.item
    AND s.attempt = d.attempt AND s.state || '' =
"""
# Written also when the run is no longer live: compensation must know that the card was charged.
_FENCE_CLAIM = f"""
    won AS (
        UPDATE runs_steprun s SET {_SET_STEP} FROM d
        WHERE {_ROW} 'running' AND s.process = d.process RETURNING {_ALIVE} IS TRUE AS alive, d.*
    )
"""  # noqa: S608 - constant text only
# Timer and signal compare and set: whichever comes first finds this attempt waiting, the other one does not.
_FENCE_WAIT = f"""
    won AS (
        UPDATE runs_steprun s SET state = d.state, wake_at = NULL, output = d.output::jsonb, error = d.error::jsonb,
            attempts = d.attempts::jsonb,
            finished_at = CASE WHEN d.state <> 'retrying' THEN clock_timestamp() END
        FROM d WHERE {_ROW} 'waiting' AND {_ALIVE}
          AND CASE WHEN d.signal IS NULL THEN s.wake_at <= clock_timestamp() ELSE s.signal = d.signal END
        RETURNING true AS alive, d.*
    )
"""  # noqa: S608 - constant text only
# What it waited for has come, and nobody else has taken note of it.
_FENCE_CHILDREN = f"""
    won AS (
        UPDATE runs_steprun s SET {_SET_STEP} FROM d
        WHERE {_ROW} 'waiting' AND {_ALIVE} AND s.awaits = 0 RETURNING true AS alive, d.*
    )
"""  # noqa: S608 - constant text only

# Tickets for what became ready, and the state of runs that end, wait or go on. Only for runs seen live under lock.
_WRITE_TICKETS = f"""
    INSERT INTO runs_ticket (run_id, head, item, due_at, knock_at, sends, suspect)
    SELECT n.run_id, n.next_head, n.next_item, n.base + n.due * interval '1 second',
           n.base + n.knock * interval '1 second', n.next_sends, n.next_suspect
    FROM (SELECT *, clock_timestamp() + CASE WHEN paused_at IS NULL THEN interval '0' ELSE {PAUSE} END AS base
          FROM released WHERE next_head IS NOT NULL) n
    RETURNING 1
"""  # noqa: S608 - constant text only
# What the work came to stands from when it was decided; the ending may add to its error.
_SET_RUN = """
    state = e.end_state,
    output = CASE WHEN r.ending IS NULL THEN e.end_output::jsonb ELSE r.output END,
    error = CASE WHEN r.ending IS NULL OR r.error IS NULL THEN e.end_error::jsonb
        ELSE r.error || coalesce(e.end_error::jsonb, '{}') END,
    ending = CASE WHEN e.end_state IN ('running', 'waiting', 'compensating') THEN coalesce(e.end_ending, r.ending) END,
    finished_at = CASE WHEN e.end_state NOT IN ('running', 'waiting', 'compensating') THEN clock_timestamp() END
"""
_TICKETS = f"""
    released AS (SELECT * FROM won WHERE alive), tickets AS ({_WRITE_TICKETS})
"""  # noqa: S608 - constant text only
_SETTLED = f"""
    settled AS (
        UPDATE runs_run r SET {_SET_RUN} FROM won e
        WHERE r.id = e.run_id AND e.alive AND e.end_state IS NOT NULL RETURNING 1
    )
"""  # noqa: S608 - constant text only
_WINNERS = "SELECT run_id, item, alive, ending, below FROM won"

# Rows of inline and skipped steps. Only a retried head can have one already.
_NEW_STEPS = """
    unnest(%(step_runs)s::uuid[], %(step_items)s::int[], %(steps)s::text[], %(states)s::text[], %(tries)s::int[],
           %(histories)s::text[], %(wakes)s::timestamptz[], %(signals)s::text[], %(signal_keys)s::text[],
           %(awaits)s::int[], %(configs)s::text[], %(outputs)s::text[], %(errors)s::text[],
           %(starts)s::timestamptz[], %(finishes)s::timestamptz[])
    AS d(run_id, item, step, state, attempt, attempts, wake_at, signal, signal_key, awaits, config, output,
         error, started_at, finished_at)
"""

_AGAIN = """
    ON CONFLICT (run_id, step, item) DO UPDATE
        SET state = excluded.state, attempt = excluded.attempt, attempts = excluded.attempts,
            wake_at = excluded.wake_at, signal = excluded.signal, signal_key = excluded.signal_key,
            awaits = excluded.awaits, config = excluded.config, output = excluded.output, error = excluded.error,
            started_at = excluded.started_at, finished_at = excluded.finished_at
        WHERE s.state = 'retrying'
"""


def _insert_steps(rows: str, again: str = _AGAIN) -> str:
    return f"""
    INSERT INTO runs_steprun AS s (run_id, step, item, state, attempt, attempts, wake_at, signal, signal_key, awaits,
                                   config, output, error, started_at, finished_at)
    SELECT d.run_id, d.step, d.item, d.state, d.attempt, d.attempts::jsonb, d.wake_at, d.signal, d.signal_key,
           d.awaits, d.config::jsonb, d.output::jsonb, d.error::jsonb, d.started_at,
           CASE WHEN d.state IN ('succeeded', 'failed', 'skipped') THEN coalesce(d.finished_at, clock_timestamp()) END
    FROM {rows} {again}
    """  # noqa: S608 - constant text only


INSERT_STEPS = Statement("insert_steps", _insert_steps(_NEW_STEPS))


def _linear(name: str, brought: tuple[str, str], fence: str) -> Statement:
    """Lock, fence, release in one statement: safe where a plan is one path, for nothing is counted."""
    return Statement(name, f"WITH {_brought(brought, _NEXT, _END)}, {fence}, {_TICKETS}, {_SETTLED} {_WINNERS}")


def _fence(name: str, brought: tuple[str, str], fence: str) -> Statement:
    """Lock and fence only: a plan with forks looks again, by a statement of its own, before it releases."""
    return Statement(name, f"WITH {_brought(brought)}, {fence} {_WINNERS}")


def _one_statement(name: str, brought: str, release: str, again: str) -> Statement:
    """With the rows of its steps as well: a statement alone is a transaction, too, and the shortest."""
    steps = _insert_steps(_NEW_STEPS + "JOIN won ON won.run_id = d.run_id", again)
    return Statement(name, f"WITH {brought}, {_FENCE_TICKET}, {release}, written AS ({steps} RETURNING 1) {_WINNERS}")


LINEAR_TICKET = _linear("path_ticket", _TICKET, _FENCE_TICKET)
LINEAR_OVER = Statement("path_over", f"WITH {_brought(_TICKET, _END)}, {_FENCE_TICKET}, {_SETTLED} {_WINNERS}")
LINEAR_ONE_STATEMENT = _one_statement("path_whole", _brought(_TICKET, _NEXT, _END), f"{_TICKETS}, {_SETTLED}", _AGAIN)
# Of runs that end, as PATH_OVER: nothing follows. Their heads were never begun, so that none of their rows is there.
LINEAR_LAST = _one_statement("path_last", _brought(_TICKET, _END), _SETTLED, "")
LINEAR_CLAIM = _linear("path_claim", _OUTCOME, _FENCE_CLAIM)
LINEAR_WAIT = _linear("path_wait", _OUTCOME, _FENCE_WAIT)
LINEAR_CHILDREN = _linear("path_children", _OUTCOME, _FENCE_CHILDREN)
FENCE_TICKET = _fence("fence_ticket", _TICKET, _FENCE_TICKET)
FENCE_CLAIM = _fence("fence_claim", _OUTCOME, _FENCE_CLAIM)
FENCE_WAIT = _fence("fence_wait", _OUTCOME, _FENCE_WAIT)
FENCE_CHILDREN = _fence("fence_children", _OUTCOME, _FENCE_CHILDREN)

# The runs are locked by an earlier statement of the same transaction.
RELEASE = Statement(
    "release",
    f"""
    WITH released AS (
        SELECT n.*, r.paused_at FROM unnest(%(next_runs)s::uuid[], {_NEXT[0]}) AS n(run_id, {_NEXT[1]}),
            LATERAL (SELECT paused_at FROM runs_run WHERE id = n.run_id LIMIT 1) r
    ),
    tickets AS ({_WRITE_TICKETS}),
    ends AS (SELECT e.* FROM unnest(%(end_runs)s::uuid[], {_END[0]}) AS e(run_id, {_END[1]}),
        LATERAL (SELECT state AS run_state FROM runs_run WHERE id = e.run_id LIMIT 1) d WHERE {_ALIVE})
    UPDATE runs_run r SET {_SET_RUN} FROM ends e WHERE r.id = e.run_id
    """,  # noqa: S608 - constant text only
)

# As INSERT_STEPS, for many rows of steps that succeeded and have none yet; rows.copied_steps writes them.
COPY_STEPS = Statement(
    "copy_steps",
    """
    COPY runs_steprun (run_id, step, item, state, attempt, attempts, config, output, started_at, finished_at)
    FROM STDIN (FORMAT BINARY)
    """,
)
