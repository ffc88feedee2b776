"""The statements that record outcomes and release what follows; and the rules for every statement in this room.

Lock order: gate, signal (advisory), key of state, run (ids ascending), ticket, step run, process; a checkpoint or a log
after all of them. A step locks one key of state at most, before its record locks the run. A statement that locks
several rows does so in a MATERIALIZED CTE with ORDER BY: `id = ANY(...)` alone locks in the order of the plan, and
deadlocks. A statement that locks must not decide anything that depends on other rows, because its snapshot is older
than the lock that it waited for; the next statement decides. Only the database's clock counts, read by
clock_timestamp(), because now() stands still inside a transaction.

The planner keeps the plans of prepared statements, and estimates badly: it takes every array for ten rows, and locked
runs for one. So each set is unnested once, and the rows that belong to each element are looked up by LATERAL with
LIMIT 1 or with a lock, which allows one plan only. If two sets were joined, the planner might read all of one for each
row of the other.
"""

from __future__ import annotations

import re

from runs.queries.database import Statement
from runs.queries.paused_tickets import PAUSE

# What a statement is given for each run: the parameters, and the names of their columns.
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
# The timeout of the next step, in seconds, where this process is to claim it; NULL where it gets a ticket.
_CLAIMS = ("%(next_timeouts)s::float8[]", "next_timeout")


def _brought(*parts: tuple[str, str]) -> str:
    """Return the CTE `d`: the parameters' rows in the order of locks, each with its run, which is locked by this.

    `n` is the number of the outcome that a row belongs to, from 1.
    """
    arrays = ", ".join(["%(runs)s::uuid[]", *(part[0] for part in parts)])
    names = ", ".join(["run_id", *(part[1] for part in parts)])
    return f"""
    d AS MATERIALIZED (
        SELECT * FROM (SELECT * FROM unnest({arrays}) WITH ORDINALITY AS d({names}, n) ORDER BY run_id) d
        LEFT JOIN LATERAL (
            SELECT state AS run_state, ending, parent_id IS NOT NULL AS below, paused_at
            FROM runs_run WHERE id = d.run_id FOR NO KEY UPDATE
        ) r ON true
    )
    """  # noqa: S608 - constant text only


def _brought_one(*parts: tuple[str, str]) -> str:
    """Return the CTE `d` for a single outcome, whose parameters are values in place of arrays (database.values_of_one).

    PostgreSQL needs a third less time for it, most of which it spends on beginning a statement with so many parts.
    """
    types = [cast for part in parts for cast in re.findall(r"%\(\w+\)s::\w+", part[0])]
    names = [name for part in parts for name in re.findall(r"\w+", part[1])]
    given = ", ".join(f"{value} AS {name}" for value, name in zip(types, names, strict=True))
    return f"""
    d AS MATERIALIZED (
        SELECT 1 AS n, id AS run_id, {given},
               state AS run_state, ending, parent_id IS NOT NULL AS below, paused_at
        FROM runs_run WHERE id = %(runs)s::uuid FOR NO KEY UPDATE
    )
    """  # noqa: S608 - constant text only


# The fences. Each returns, as `won`, the rows of the outcomes whose fence holds. An outcome whose fence is lost does
# nothing; neither does one whose run was paused meanwhile, because its ticket is not due. `d` is read completely
# first, so that every run is locked before the first ticket or step row is; a plain join would lock them alternately.
# IS TRUE keeps the planner from turning these conditions into joins.
_ALIVE = "(d.run_state IN ('running', 'waiting', 'compensating'))"
_FENCE_TICKET = f"""
    gone AS (
        DELETE FROM runs_ticket
        WHERE id = ANY(ARRAY(SELECT d.ticket FROM d WHERE {_ALIVE})) AND due_at <= clock_timestamp()
          AND ((id, run_id, item) IN (SELECT d.ticket, d.run_id, d.item FROM d)) IS TRUE RETURNING id
    ),
    won AS (SELECT true AS alive, d.* FROM d WHERE (d.ticket IN (SELECT id FROM gone)) IS TRUE)
"""  # noqa: S608 - constant text only
# In a run that has ended meanwhile, nothing may follow: a step that would wait or be retried is cancelled instead.
_GIVEN_UP = f"CASE WHEN d.state IN ('retrying', 'waiting') AND {_ALIVE} IS NOT TRUE THEN 'cancelled' ELSE d.state END"
_SET_STEP = f"""
    state = {_GIVEN_UP}, process = NULL, deadline = NULL, output = d.output::jsonb, error = d.error::jsonb,
    config = d.config::jsonb, attempts = d.attempts::jsonb,
    wake_at = CASE WHEN {_ALIVE} THEN d.wake_at END, signal = d.signal, signal_key = d.signal_key,
    awaits = CASE WHEN {_ALIVE} THEN d.awaits END,
    finished_at = CASE WHEN {_GIVEN_UP} NOT IN ('retrying', 'waiting') THEN clock_timestamp() END
"""
# `state || ''` so that no partial index on the state matches: the planner might begin with all rows in that state.
_ROW = """
    s.run_id = d.run_id AND s.step = d.step AND s.item = d.item AND s.attempt = d.attempt AND s.state || '' =
"""
# Of several runs, all are locked before the first row is.
_ALL_LOCKED = "(SELECT count(*) FROM d) >= 0"


# Written even if the run is no longer live: compensation must know, for example, that a card was charged.
def _fence_claim(first: str = "") -> str:
    return f"""
    won AS (
        UPDATE runs_steprun s SET {_SET_STEP} FROM d
        WHERE {first} {_ROW} 'running' AND s.process = d.process RETURNING {_ALIVE} IS TRUE AS alive, d.*
    )
    """  # noqa: S608 - constant text only


_FENCE_CLAIM = _fence_claim(f"{_ALL_LOCKED} AND")
_FENCE_ONE_CLAIM = _fence_claim()
# Compare and set: of timer and signal, the first one finds this attempt waiting, and the second one does not.
_FENCE_WAIT = f"""
    won AS (
        UPDATE runs_steprun s SET state = d.state, wake_at = NULL, output = d.output::jsonb, error = d.error::jsonb,
            attempts = d.attempts::jsonb,
            finished_at = CASE WHEN d.state <> 'retrying' THEN clock_timestamp() END
        FROM d WHERE {_ALL_LOCKED} AND {_ROW} 'waiting' AND {_ALIVE}
          AND CASE WHEN d.signal IS NULL THEN s.wake_at <= clock_timestamp() ELSE s.signal = d.signal END
        RETURNING true AS alive, d.*
    )
"""  # noqa: S608 - constant text only
# The step still waits, and the sub-workflow run that it waits for has ended.
_FENCE_CHILDREN = f"""
    won AS (
        UPDATE runs_steprun s SET {_SET_STEP} FROM d
        WHERE {_ALL_LOCKED} AND {_ROW} 'waiting' AND {_ALIVE} AND s.awaits = 0 RETURNING true AS alive, d.*
    )
"""  # noqa: S608 - constant text only


# Tickets for steps that became ready, and new states of runs. Only for runs that were seen live under their lock.
def _write_tickets(which: str = "next_head IS NOT NULL") -> str:
    return f"""
    INSERT INTO runs_ticket (run_id, head, item, due_at, knock_at, sends, suspect)
    SELECT x.run_id, x.next_head, x.next_item, x.base + x.due * interval '1 second',
           x.base + x.knock * interval '1 second', x.next_sends, x.next_suspect
    FROM (SELECT *, clock_timestamp() + CASE WHEN paused_at IS NULL THEN interval '0' ELSE {PAUSE} END AS base
          FROM released WHERE {which}) x
    RETURNING 1
    """  # noqa: S608 - constant text only


# Output and error are written when the run's work is over, and stay; a later part may only add to the error.
_SET_RUN = """
    state = e.end_state,
    output = CASE WHEN r.ending IS NULL THEN e.end_output::jsonb ELSE r.output END,
    error = CASE WHEN r.ending IS NULL OR r.error IS NULL THEN e.end_error::jsonb
        ELSE r.error || coalesce(e.end_error::jsonb, '{}') END,
    ending = CASE WHEN e.end_state IN ('running', 'waiting', 'compensating') THEN coalesce(e.end_ending, r.ending) END,
    finished_at = CASE WHEN e.end_state NOT IN ('running', 'waiting', 'compensating') THEN clock_timestamp() END
"""
_TICKETS = f"""
    released AS (SELECT * FROM won WHERE alive), tickets AS ({_write_tickets()})
"""  # noqa: S608 - constant text only
# The next steps with a `next_timeout` are claimed for this process instead, if it has a live lease and the run is not
# paused: they get a running row and no ticket. So a step that is claimed here is under a lease from its first moment.
_CLAIMED = f"""
    lease AS MATERIALIZED (
        SELECT id FROM runs_process WHERE id = %(process)s::uuid AND expires_at > clock_timestamp()
    ),
    released AS MATERIALIZED (
        SELECT *, next_timeout IS NOT NULL AND paused_at IS NULL AND EXISTS (SELECT 1 FROM lease) AS claims
        FROM won WHERE alive
    ),
    claimed AS (
        INSERT INTO runs_steprun (run_id, step, item, state, attempt, attempts, process, deadline, started_at)
        SELECT run_id, next_head, next_item, 'running', 1, '[]', %(process)s::uuid,
               clock_timestamp() + next_timeout * interval '1 second', clock_timestamp()
        FROM released WHERE claims RETURNING run_id
    ),
    tickets AS ({_write_tickets("next_head IS NOT NULL AND NOT claims")})
"""  # noqa: S608 - constant text only
_SETTLED = f"""
    settled AS (
        UPDATE runs_run r SET {_SET_RUN} FROM won e
        WHERE r.id = e.run_id AND e.alive AND e.end_state IS NOT NULL RETURNING 1
    )
"""  # noqa: S608 - constant text only
_WINNERS = "SELECT n, run_id, alive, ending, below FROM won"
# With whether the next step was claimed, and the time.
_CLAIMERS = """
    SELECT n, run_id, alive, ending, below, (run_id IN (SELECT run_id FROM claimed)) IS TRUE,
           date_part('epoch', clock_timestamp()) FROM won
"""

# Rows of inline and of skipped steps. Only the head of a link can have a row already, if it is being retried.
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
    """Lock, fence and release in one statement: safe for a linear plan, where no other row decides what follows."""
    return Statement(name, f"WITH {_brought(brought, _NEXT, _END)}, {fence}, {_TICKETS}, {_SETTLED} {_WINNERS}")


def _linear_and_claim(name: str, brought: tuple[str, str], fence: str) -> Statement:
    """As _linear, and claim the next steps that have a `next_timeout`."""
    rows = _brought(brought, _NEXT, _END, _CLAIMS)
    return Statement(name, f"WITH {rows}, {fence}, {_CLAIMED}, {_SETTLED} {_CLAIMERS}")


def _fence(name: str, brought: tuple[str, str], fence: str) -> Statement:
    """Lock and fence only: in a plan with forks, a later statement reads the run before anything is released."""
    return Statement(name, f"WITH {_brought(brought)}, {fence} {_WINNERS}")


def _one_statement(name: str, brought: str, release: str, again: str, winners: str = _WINNERS) -> Statement:
    """Lock, fence and release, and insert the steps' rows, too: one statement by itself is the shortest transaction."""
    steps = _insert_steps(_NEW_STEPS + "JOIN won ON won.run_id = d.run_id", again)
    return Statement(name, f"WITH {brought}, {_FENCE_TICKET}, {release}, written AS ({steps} RETURNING 1) {winners}")


LINEAR_TICKET = _linear("path_ticket", _TICKET, _FENCE_TICKET)
LINEAR_OVER = Statement("path_over", f"WITH {_brought(_TICKET, _END)}, {_FENCE_TICKET}, {_SETTLED} {_WINNERS}")
LINEAR_ONE_STATEMENT = _one_statement("path_whole", _brought(_TICKET, _NEXT, _END), f"{_TICKETS}, {_SETTLED}", _AGAIN)
# For runs that end, as LINEAR_OVER: no ticket follows. No step of theirs was tried before, so none has a row yet.
LINEAR_LAST = _one_statement("path_last", _brought(_TICKET, _END), _SETTLED, "")
# For a process that claims the steps that follow.
LINEAR_TICKET_CLAIM = _linear_and_claim("path_ticket_claim", _TICKET, _FENCE_TICKET)
LINEAR_CLAIM_CLAIM = _linear_and_claim("path_claim_claim", _OUTCOME, _FENCE_CLAIM)
LINEAR_ONE_STATEMENT_CLAIM = _one_statement(
    "path_whole_claim", _brought(_TICKET, _NEXT, _END, _CLAIMS), f"{_CLAIMED}, {_SETTLED}", _AGAIN, _CLAIMERS
)
LINEAR_CLAIM = _linear("path_claim", _OUTCOME, _FENCE_CLAIM)
# For a single run, of which a worker records a claimed step: it claims the next step, or the run changes its state,
# mostly because it ends, and gets no ticket.
ONE_CLAIM_CLAIM = Statement(
    "path_one_claim", f"WITH {_brought_one(_OUTCOME, _NEXT, _CLAIMS)}, {_FENCE_ONE_CLAIM}, {_CLAIMED} {_CLAIMERS}"
)
ONE_CLAIM_LAST = Statement(
    "path_one_last", f"WITH {_brought_one(_OUTCOME, _END)}, {_FENCE_ONE_CLAIM}, {_SETTLED} {_WINNERS}"
)
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
    tickets AS ({_write_tickets()}),
    ends AS (SELECT e.* FROM unnest(%(end_runs)s::uuid[], {_END[0]}) AS e(run_id, {_END[1]}),
        LATERAL (SELECT state AS run_state FROM runs_run WHERE id = e.run_id LIMIT 1) d WHERE {_ALIVE})
    UPDATE runs_run r SET {_SET_RUN} FROM ends e WHERE r.id = e.run_id
    """,  # noqa: S608 - constant text only
)

# As INSERT_STEPS, for many steps that succeeded and have no row yet; runs.engine.columns.copied_steps makes the rows.
COPY_STEPS = Statement(
    "copy_steps",
    """
    COPY runs_steprun (run_id, step, item, state, attempt, attempts, config, output, started_at, finished_at)
    FROM STDIN (FORMAT BINARY)
    """,
)
