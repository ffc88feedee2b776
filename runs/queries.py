"""Every statement of the hot path.

Lock order: gate, signal (advisory), run (ids ascending), ticket, step run, process. A statement that locks a set does
so in a MATERIALIZED CTE with ORDER BY, because `id = ANY(...)` alone locks in plan order and deadlocks. A statement
that locks never decides what depends on other rows: its snapshot is older than the lock it waited for. Only the
database's clock counts: clock_timestamp(), because now() stands still inside a transaction.
"""

from __future__ import annotations

from runs.database import Statement

# -- start ------------------------------------------------------------------------------------------------------

# A new run of a paused workflow is paused from its beginning.
PAUSED_WITH_RECIPE = """
    CASE WHEN recipe.paused_at IS NOT NULL THEN clock_timestamp() END,
    CASE WHEN recipe.paused_at IS NOT NULL THEN 'workflow' END
"""
# A paused run's tickets lie so far ahead that nothing knocks or claims; resuming takes the same away again.
PAUSE = "interval '61362000 hours'"
PAUSED_FROM = "timestamptz '8000-01-01'"


def queued(table: str) -> str:
    """That a run is queued, in the words of index run_backlog, which answers whether any is.

    Of the runs that waited until autovacuum comes each index keeps an entry: a hundred thousand after a busy hour. This
    one has the same key for all of a workspace, and folds them; run_queued, which has them in order, would be read
    from its beginning to its end by each start and each delivery, to find nothing.
    """
    return f"{table}.started_at IS NULL AND {table}.finished_at IS NULL"


# `recipe` takes the lock that a foreign key to the workflow would take; so a pause of it comes wholly before, or after.
# A run begins at once where runs.admission.ADMIT would take it next: nothing of its workspace waits, nothing limits it.
START = Statement(
    "start",
    f"""
    WITH recipe AS MATERIALIZED (
        SELECT w.paused_at, v.roots, v.timeout * interval '1 second' AS timeout,
               %(begin)s AND w.paused_at IS NULL AND s.concurrent_runs IS NULL AND s.runs_per_minute IS NULL
               AND NOT EXISTS (SELECT 1 FROM runs_run q
                               WHERE {queued("q")} AND q.lane = 0 AND q.workspace_id = w.workspace_id) AS begins
        FROM workflows_workflow w JOIN workflows_version v ON v.id = %(version)s
        JOIN workflows_workspace s ON s.id = w.workspace_id WHERE w.id = %(workflow)s FOR KEY SHARE OF w
    ),
    started AS (
        INSERT INTO runs_run (id, workspace_id, workflow_id, version_id, state, idempotency_key, source, labels, input,
                              generation, priority, gate_id, paused_at, paused_through, started_at, deadline)
        SELECT d.id, %(workspace)s, %(workflow)s, %(version)s, CASE WHEN begins THEN 'running' ELSE 'queued' END,
               d.key, %(source)s, d.labels::jsonb, d.input::jsonb, 1, d.priority, d.gate, {PAUSED_WITH_RECIPE},
               CASE WHEN begins THEN clock_timestamp() END, CASE WHEN begins THEN clock_timestamp() + timeout END
        FROM recipe, unnest(%(ids)s::uuid[], %(keys)s::text[], %(labels)s::text[], %(inputs)s::text[],
                            %(priorities)s::smallint[], %(gates)s::bigint[]) d(id, key, labels, input, priority, gate)
        ORDER BY d.key
        ON CONFLICT (workflow_id, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
        RETURNING id, started_at, CASE WHEN %(told)s AND started_at IS NOT NULL THEN input END AS input
    ),
    tickets AS (
        INSERT INTO runs_ticket (run_id, head, item, due_at, knock_at, sends, suspect)
        SELECT started.id, head, -1, clock_timestamp(), clock_timestamp() + %(repeat)s * interval '1 second', 1, false
        FROM started, recipe, unnest(recipe.roots) head WHERE started.started_at IS NOT NULL
        RETURNING id, run_id, head
    )
    SELECT s.id, t.id, t.head, date_part('epoch', s.started_at), s.input
    FROM started s LEFT JOIN tickets t ON t.run_id = s.id
    """,  # noqa: S608 - constant text only
)

# A statement of its own: the INSERT's snapshot does not see the twin that it lost to.
KNOWN_KEYS = Statement(
    "known_keys",
    """
    SELECT idempotency_key, id, state FROM runs_run
    WHERE workflow_id = %(workflow)s AND idempotency_key = ANY(%(keys)s::text[])
    """,
)

# -- dispatch ---------------------------------------------------------------------------------------------------

# Tickets whose knock is due: released heads, retries, repeats. Index ticket_knock_at. Locks nothing: how many of them
# fit into the window shows only when they are grouped into messages. A last row of NULLs says that runs are queued.
PEEK = Statement(
    "peek",
    f"""
    (SELECT t.id, t.run_id, t.item, r.version_id, t.head, t.suspect
     FROM (SELECT * FROM runs_ticket WHERE knock_at <= (SELECT clock_timestamp()) ORDER BY knock_at LIMIT %(limit)s) t
     JOIN runs_run r ON r.id = t.run_id ORDER BY t.knock_at, t.id)
    UNION ALL
    SELECT NULL, NULL, NULL, NULL, NULL, NULL
    WHERE EXISTS (SELECT 1 FROM runs_run q WHERE {queued("q")} AND lane = 0)
       OR EXISTS (SELECT 1 FROM runs_run q WHERE {queued("q")} AND lane = 1)
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
    FROM due WHERE t.id = due.id RETURNING t.id
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
    FROM mine WHERE t.id = mine.id
    """,
)

# Candidates of a message that were not claimed in time: somebody else may take them now. The message was answered, so
# that its send counts no longer: however often it is handed back, a ticket behind slow steps is no suspect.
HAND_BACK = Statement(
    "hand_back",
    """
    WITH mine AS MATERIALIZED (
        SELECT t.id FROM runs_ticket t
        JOIN unnest(%(runs)s::uuid[], %(items)s::int[]) d(run_id, item) ON t.run_id = d.run_id AND t.item = d.item
        WHERE t.head = %(head)s AND t.due_at <= clock_timestamp() ORDER BY t.run_id, t.item FOR UPDATE OF t SKIP LOCKED
    )
    UPDATE runs_ticket t SET knock_at = clock_timestamp(), sends = 0 FROM mine WHERE t.id = mine.id
    """,
)

# -- load and claim ---------------------------------------------------------------------------------------------

_FACTS = """
    r.id, t.item, r.input, date_part('epoch', r.started_at), r.generation,
    (SELECT jsonb_object_agg(s.step, jsonb_build_object('output', s.output, 'state', s.state, 'error', s.error))
     FROM runs_steprun s WHERE s.run_id = r.id AND s.item = -1 AND s.step = ANY(%(reads)s::text[])) AS steps,
    date_part('epoch', clock_timestamp()), r.ending, r.parent_id IS NOT NULL
"""

# The tickets' ids, the fence of what is recorded, and the inputs in one snapshot.
LOAD = Statement(
    "load",
    f"""
    SELECT {_FACTS}, t.id, t.suspect, h.attempt, h.attempts, h.input
    FROM unnest(%(runs)s::uuid[], %(items)s::int[]) d(run_id, item)
    JOIN runs_ticket t ON t.run_id = d.run_id AND t.item = d.item AND t.head = %(head)s
    JOIN runs_run r ON r.id = t.run_id
    LEFT JOIN runs_steprun h ON h.run_id = t.run_id AND h.step = t.head AND h.item = t.item
    WHERE t.due_at <= clock_timestamp()
    """,  # noqa: S608 - constant text only
)

# A ticket becomes a running row. Refused before due_at, and without a live lease of the claimer.
CLAIM = Statement(
    "claim",
    f"""
    WITH due AS MATERIALIZED (
        SELECT t.id FROM runs_ticket t
        JOIN unnest(%(runs)s::uuid[], %(items)s::int[]) d(run_id, item) ON t.run_id = d.run_id AND t.item = d.item
        WHERE t.head = %(head)s AND t.due_at <= clock_timestamp()
          AND EXISTS (SELECT 1 FROM runs_process WHERE id = %(process)s AND expires_at > clock_timestamp())
        ORDER BY t.run_id, t.item FOR UPDATE OF t
    ),
    taken AS (DELETE FROM runs_ticket t USING due WHERE t.id = due.id RETURNING t.run_id, t.item),
    t AS (
        INSERT INTO runs_steprun AS s (run_id, step, item, state, attempt, attempts, process, deadline, started_at)
        SELECT run_id, %(head)s, item, 'running', 1, '[]', %(process)s,
               clock_timestamp() + %(timeout)s * interval '1 second', clock_timestamp()
        FROM taken ORDER BY run_id, item
        ON CONFLICT (run_id, step, item) DO UPDATE
            SET state = 'running', attempt = s.attempt + 1, process = excluded.process,
                deadline = excluded.deadline, started_at = excluded.started_at, error = NULL
            WHERE s.state = 'retrying'
        RETURNING s.run_id, s.item, s.attempt, s.attempts, s.input
    )
    SELECT {_FACTS}, t.attempt, t.attempts, t.input FROM t JOIN runs_run r ON r.id = t.run_id
    """,  # noqa: S608 - constant text only
)

# -- record and release -----------------------------------------------------------------------------------------

_LIVE = """
    live AS MATERIALIZED (
        SELECT id, parent_id, paused_at, ending FROM runs_run
        WHERE id = ANY(%(runs)s::uuid[]) AND state IN ('running', 'waiting', 'compensating')
        ORDER BY id FOR NO KEY UPDATE
    )
"""

# The fences. Each names the runs that this delivery won; a lost one is a no-op, and so is one of a run that was paused
# before it was looked at: its tickets are not due. Counting `live` first takes every run's lock before the first ticket
# or row is touched: a plain join would take them in turn. What is known of the run comes along in `won`, for the
# planner takes it for one row and would join it row by row.
_LOCKED = "(SELECT count(*) FROM live) >= 0"
_WON = """live.id IS NOT NULL AS alive, live.ending, live.parent_id IS NOT NULL AS below, live.paused_at"""
_FENCE_TICKET = f"""
    won AS (
        DELETE FROM runs_ticket t USING unnest(%(runs)s::uuid[], %(tickets)s::bigint[]) d(run_id, id), live
        WHERE {_LOCKED} AND live.id = d.run_id AND t.run_id = d.run_id AND t.id = d.id AND t.due_at <= clock_timestamp()
        RETURNING t.run_id, t.item, {_WON}
    )
"""  # noqa: S608 - constant text only
# On a run that has ended meanwhile nothing is to follow: what would wait or be retried is cancelled instead.
_GIVEN_UP = "CASE WHEN d.state IN ('retrying', 'waiting') AND live.id IS NULL THEN 'cancelled' ELSE d.state END"
_SET_STEP = f"""
    state = {_GIVEN_UP}, process = NULL, deadline = NULL, output = d.output::jsonb, error = d.error::jsonb,
    config = d.config::jsonb, attempts = d.attempts::jsonb,
    wake_at = CASE WHEN live.id IS NOT NULL THEN d.wake_at END, signal = d.signal, signal_key = d.signal_key,
    awaits = CASE WHEN live.id IS NOT NULL THEN d.awaits END,
    finished_at = CASE WHEN {_GIVEN_UP} NOT IN ('retrying', 'waiting') THEN clock_timestamp() END
"""
_OUTCOMES = """
    unnest(%(runs)s::uuid[], %(items)s::int[], %(steps)s::text[], %(tries)s::int[], %(processes)s::uuid[],
           %(states)s::text[], %(outputs)s::text[], %(errors)s::text[], %(configs)s::text[], %(histories)s::text[],
           %(wakes)s::timestamptz[], %(signals)s::text[], %(signal_keys)s::text[], %(awaits)s::int[])
    AS d(run_id, item, step, attempt, process, state, output, error, config, attempts, wake_at, signal, signal_key,
         awaits)
"""
# Written also when the run is no longer live: compensation must know that the card was charged.
_FENCE_CLAIM = f"""
    won AS (
        UPDATE runs_steprun s SET {_SET_STEP} FROM {_OUTCOMES} LEFT JOIN live ON live.id = d.run_id
        WHERE {_LOCKED} AND s.run_id = d.run_id AND s.step = d.step AND s.item = d.item AND s.state = 'running'
          AND s.attempt = d.attempt AND s.process = d.process RETURNING s.run_id, s.item, {_WON}
    )
"""  # noqa: S608 - constant text only
# Timer and signal compare and set: whichever comes first finds this attempt waiting, the other one does not.
_FENCE_WAIT = f"""
    won AS (
        UPDATE runs_steprun s SET state = d.state, wake_at = NULL, output = d.output::jsonb, error = d.error::jsonb,
            attempts = d.attempts::jsonb,
            finished_at = CASE WHEN d.state <> 'retrying' THEN clock_timestamp() END
        FROM {_OUTCOMES} JOIN live ON live.id = d.run_id
        WHERE {_LOCKED} AND s.run_id = d.run_id AND s.step = d.step AND s.item = d.item
          AND s.state = 'waiting' AND s.attempt = d.attempt
          AND CASE WHEN d.signal IS NULL THEN s.wake_at <= clock_timestamp() ELSE s.signal = d.signal END
        RETURNING s.run_id, s.item, {_WON}
    )
"""  # noqa: S608 - constant text only
# What it waited for has come, and nobody else has taken note of it.
_FENCE_CHILDREN = f"""
    won AS (
        UPDATE runs_steprun s SET {_SET_STEP} FROM {_OUTCOMES} JOIN live ON live.id = d.run_id
        WHERE {_LOCKED} AND s.run_id = d.run_id AND s.step = d.step AND s.item = d.item
          AND s.state = 'waiting' AND s.awaits = 0 AND s.attempt = d.attempt RETURNING s.run_id, s.item, {_WON}
    )
"""  # noqa: S608 - constant text only

# Tickets for what became ready, and the state of runs that end, wait or go on. Only for runs seen live under lock.
_TICKETS = f"""
    tickets AS (
        INSERT INTO runs_ticket (run_id, head, item, due_at, knock_at, sends, suspect)
        SELECT n.run_id, n.head, n.item, w.base + n.due * interval '1 second',
               w.base + n.knock * interval '1 second', n.sends, n.suspect
        FROM (SELECT *, clock_timestamp() + CASE WHEN paused_at IS NULL THEN interval '0' ELSE {PAUSE} END AS base
              FROM released) w
        JOIN unnest(%(next_runs)s::uuid[], %(next_heads)s::text[], %(next_items)s::int[], %(next_dues)s::float8[],
                    %(next_knocks)s::float8[], %(next_sends)s::int[], %(next_suspects)s::bool[])
             n(run_id, head, item, due, knock, sends, suspect) ON n.run_id = w.run_id
        RETURNING 1
    )
"""  # noqa: S608 - constant text only
_SETTLED = """
    settled AS (
        -- What the work came to stands from when it was decided; the ending may add to its error.
        UPDATE runs_run r SET state = e.state,
            output = CASE WHEN r.ending IS NULL THEN e.output::jsonb ELSE r.output END,
            error = CASE WHEN r.ending IS NULL OR r.error IS NULL THEN e.error::jsonb
                ELSE r.error || coalesce(e.error::jsonb, '{}') END,
            ending = CASE WHEN e.state IN ('running', 'waiting', 'compensating') THEN coalesce(e.ending, r.ending) END,
            finished_at = CASE WHEN e.state NOT IN ('running', 'waiting', 'compensating') THEN clock_timestamp() END
        FROM released w
        JOIN unnest(%(end_runs)s::uuid[], %(end_states)s::text[], %(end_outputs)s::text[], %(end_errors)s::text[],
                    %(end_endings)s::text[])
             e(run_id, state, output, error, ending) ON e.run_id = w.run_id
        WHERE r.id = e.run_id AND r.state IN ('running', 'waiting', 'compensating')
        RETURNING 1
    )
"""
_RELEASE = f"{_TICKETS}, {_SETTLED}"
_RELEASED = "released AS (SELECT DISTINCT run_id, paused_at FROM won WHERE alive)"
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


def _path(name: str, fence: str) -> Statement:
    """Lock, fence, release in one statement: safe where a plan is one path, for nothing is counted."""
    return Statement(name, f"WITH {_LIVE}, {fence}, {_RELEASED}, {_RELEASE} {_WINNERS}")


def _fence(name: str, fence: str) -> Statement:
    """Lock and fence only: a plan with forks looks again, by a statement of its own, before it releases."""
    return Statement(name, f"WITH {_LIVE}, {fence} {_WINNERS}")


def _whole(name: str, release: str, again: str) -> Statement:
    """With the rows of its steps as well: a statement alone is a transaction, too, and the shortest."""
    steps = _insert_steps(_NEW_STEPS + "JOIN won ON won.run_id = d.run_id", again)
    ends = f"{_RELEASED}, {release}, written AS ({steps} RETURNING 1)"
    return Statement(name, f"WITH {_LIVE}, {_FENCE_TICKET}, {ends} {_WINNERS}")


PATH_TICKET = _path("path_ticket", _FENCE_TICKET)
PATH_WHOLE = _whole("path_whole", _RELEASE, _AGAIN)
# Of runs that end: nothing follows. Their heads were never begun, so that none of their rows is there.
PATH_LAST = _whole("path_last", _SETTLED, "")
PATH_CLAIM = _path("path_claim", _FENCE_CLAIM)
PATH_WAIT = _path("path_wait", _FENCE_WAIT)
PATH_CHILDREN = _path("path_children", _FENCE_CHILDREN)
FENCE_TICKET = _fence("fence_ticket", _FENCE_TICKET)
FENCE_CLAIM = _fence("fence_claim", _FENCE_CLAIM)
FENCE_WAIT = _fence("fence_wait", _FENCE_WAIT)
FENCE_CHILDREN = _fence("fence_children", _FENCE_CHILDREN)

# Rows and tickets in one snapshot, after the lock: a claim in between would show the step in neither.
VIEW = Statement(
    "view",
    """
    SELECT run_id, step, CASE WHEN state = 'waiting' AND open_items > 0 THEN 'running' ELSE state END,
           state = 'skipped' AND error IS NOT NULL FROM runs_steprun
    WHERE run_id = ANY(%(runs)s::uuid[]) AND item = -1
    UNION ALL
    SELECT run_id, head, NULL, false FROM runs_ticket WHERE run_id = ANY(%(runs)s::uuid[]) AND item = -1
    """,
)

# The runs are locked by an earlier statement of the same transaction.
RELEASE = Statement(
    "release",
    f"""
    WITH released AS (SELECT id AS run_id, paused_at FROM runs_run WHERE id = ANY(%(runs)s::uuid[])), {_RELEASE}
    SELECT 1
    """,  # noqa: S608 - constant text only
)

# The same for many rows of steps that succeeded and have none yet.
COPY_STEPS = Statement(
    "copy_steps",
    """
    COPY runs_steprun (run_id, step, item, state, attempt, attempts, config, output, started_at, finished_at) FROM STDIN
    """,
)

INSERT_DEAD_LETTERS = Statement(
    "insert_dead_letters",
    """
    INSERT INTO runs_deadletter (id, workspace_id, workflow_id, labels, run_id, step, item, state, reason, error, input,
                                 config, attempts, resolution, alert_due)
    SELECT d.id, r.workspace_id, r.workflow_id, r.labels, d.run_id, d.step, d.item, 'open', d.reason, d.error::jsonb,
           d.input::jsonb, d.config::jsonb, d.attempts::jsonb, '', coalesce(w.alert_workflow_id <> r.workflow_id, false)
    FROM unnest(%(ids)s::uuid[], %(runs)s::uuid[], %(steps)s::text[], %(items)s::int[], %(reasons)s::text[],
                %(errors)s::text[], %(inputs)s::text[], %(configs)s::text[], %(histories)s::text[])
         AS d(id, run_id, step, item, reason, error, input, config, attempts)
    JOIN runs_run r ON r.id = d.run_id JOIN workflows_workspace w ON w.id = r.workspace_id
    """,
)
