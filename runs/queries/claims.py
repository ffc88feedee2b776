"""The statements that load what an inline link needs, and that claim effectful steps for a process."""

from __future__ import annotations

from runs.queries.database import Statement

# The keys of a message in the order of locks; with _THEIRS, the ticket of each.
_CANDIDATES = """
    (SELECT * FROM unnest(%(runs)s::uuid[], %(items)s::int[]) d(run_id, item) ORDER BY run_id, item) d
"""

_THEIRS = "run_id = d.run_id AND item = d.item AND head = %(head)s AND due_at <= clock_timestamp()"

# The same for candidates that each bring their head.
_CANDIDATES_AT_HEADS = """
    (SELECT * FROM unnest(%(runs)s::uuid[], %(items)s::int[], %(heads)s::text[]) d(run_id, item, head)
     ORDER BY run_id, head, item) d
"""
_THEIRS_AT_HEADS = "run_id = d.run_id AND item = d.item AND head = d.head AND due_at <= clock_timestamp()"
_READS_OF_STEP = "ARRAY(SELECT jsonb_array_elements_text(%(reads)s::jsonb -> t.step))"

# Candidates that a delivery did not claim in time: another process may take them after a delay, which is half of the
# time for which the ticket has been due, within the bounds given: so it grows from one hand-back to the next. `sends`
# starts again at 0, as their message did arrive. So a ticket that is often handed back, behind slow steps, does not
# become a suspect.
HAND_BACK = Statement(
    "hand_back",
    f"""
    WITH mine AS MATERIALIZED (
        SELECT t.id FROM {_CANDIDATES_AT_HEADS},
            LATERAL (SELECT id FROM runs_ticket WHERE {_THEIRS_AT_HEADS} FOR UPDATE SKIP LOCKED) t
    )
    UPDATE runs_ticket t SET sends = 0, knock_at = clock_timestamp() + interval '1 second' * least(
        %(most)s::float8, greatest(%(least)s::float8, date_part('epoch', clock_timestamp() - t.due_at) / 2))
    WHERE t.id = ANY(ARRAY(SELECT id FROM mine))
    """,  # noqa: S608 - constant text only
)


def _facts(reads: str) -> str:
    """Return the columns of a run's facts, and of the steps of it that are read: an SQL array of their ids."""
    return f"""
    r.id, t.item, r.input, date_part('epoch', r.started_at), r.generation,
    (SELECT jsonb_object_agg(s.step, jsonb_build_object('output', s.output, 'state', s.state, 'error', s.error))
     FROM runs_steprun s WHERE s.run_id = r.id AND s.item = -1 AND s.step = ANY({reads})) AS steps,
    date_part('epoch', clock_timestamp()), r.ending, r.parent_id IS NOT NULL
    """  # noqa: S608 - constant text only


_ITS_RUN = "LATERAL (SELECT * FROM runs_run WHERE id = t.run_id LIMIT 1) r"

# The tickets' ids, which are the fence of the later record, and the inputs, in one snapshot.
LOAD = Statement(
    "load",
    f"""
    SELECT {_facts("%(reads)s::text[]")}, t.id, t.suspect, h.attempt, h.attempts, h.input
    FROM {_CANDIDATES}, LATERAL (SELECT id, run_id, item, suspect FROM runs_ticket WHERE {_THEIRS} LIMIT 1) t,
        {_ITS_RUN}
        LEFT JOIN LATERAL (
            SELECT attempt, attempts, input FROM runs_steprun
            WHERE run_id = t.run_id AND step = %(head)s AND item = t.item LIMIT 1
        ) h ON true
    """,  # noqa: S608 - constant text only
)

# The same for candidates that each bring their head; `reads` is a JSON object by head.
LOAD_AT_HEADS = Statement(
    "load_at_heads",
    f"""
    SELECT {_facts(_READS_OF_STEP)}, t.step, t.id, t.suspect, h.attempt, h.attempts, h.input
    FROM {_CANDIDATES_AT_HEADS},
        LATERAL (SELECT id, run_id, item, head AS step, suspect FROM runs_ticket WHERE {_THEIRS_AT_HEADS} LIMIT 1) t,
        {_ITS_RUN}
        LEFT JOIN LATERAL (
            SELECT attempt, attempts, input FROM runs_steprun
            WHERE run_id = t.run_id AND step = t.step AND item = t.item LIMIT 1
        ) h ON true
    """,  # noqa: S608 - constant text only
)


def _running(taken: str, timeout: str) -> str:
    """Return the INSERT of running rows for the tickets that were `taken`, of which it returns what a worker needs."""
    return f"""
    INSERT INTO runs_steprun AS s (run_id, step, item, state, attempt, attempts, process, deadline, started_at)
    SELECT run_id, head, item, 'running', 1, '[]', %(process)s,
           clock_timestamp() + {timeout} * interval '1 second', clock_timestamp()
    FROM {taken}
    ON CONFLICT (run_id, step, item) DO UPDATE
        SET state = 'running', attempt = s.attempt + 1, process = excluded.process,
            deadline = excluded.deadline, started_at = excluded.started_at, error = NULL
        WHERE s.state = 'retrying'
    RETURNING s.run_id, s.item, s.step, s.attempt, s.attempts, s.input
    """  # noqa: S608 - constant text only


_LEASED = "EXISTS (SELECT 1 FROM runs_process WHERE id = %(process)s AND expires_at > clock_timestamp())"

# Turn tickets into running rows. Refused before a ticket's due_at, if the process has no live lease, and for a suspect
# ticket unless it is performed alone. `reads` and `timeouts` are JSON objects by head.
CLAIM = Statement(
    "claim",
    f"""
    WITH due AS MATERIALIZED (
        SELECT t.id FROM {_CANDIDATES_AT_HEADS},
            LATERAL (SELECT id FROM runs_ticket WHERE {_THEIRS_AT_HEADS} AND suspect = %(suspect)s FOR UPDATE) t
        WHERE {_LEASED}
    ),
    taken AS (DELETE FROM runs_ticket WHERE id = ANY(ARRAY(SELECT id FROM due)) RETURNING run_id, item, head),
    t AS ({_running("taken ORDER BY run_id, head, item", "(%(timeouts)s::jsonb ->> head)::float8")})
    SELECT {_facts(_READS_OF_STEP)}, t.step, t.attempt, t.attempts, t.input FROM t, {_ITS_RUN}
    """,  # noqa: S608 - constant text only
)

# The same for a single ticket, whose parameters are values; `reads` are the steps to read and `timeout` the seconds.
CLAIM_ONE = Statement(
    "claim_one",
    f"""
    WITH taken AS (
        DELETE FROM runs_ticket
        WHERE run_id = %(run)s AND item = -1 AND head = %(head)s::text AND due_at <= clock_timestamp()
          AND suspect = %(suspect)s AND {_LEASED}
        RETURNING run_id, item, head
    ),
    t AS ({_running("taken", "%(timeout)s::float8")})
    SELECT {_facts("%(reads)s::text[]")}, t.step, t.attempt, t.attempts, t.input FROM t, {_ITS_RUN}
    """,  # noqa: S608 - constant text only
)
