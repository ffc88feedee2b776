"""The statements of signals and of the waits that they end.

Lock order as in runs.queries.records: first the advisory lock on (name, key), then the runs by ascending id; the next
statement reads what is to be decided. A kept signal (`used_at` NULL) is changed only under the lock of its run, or,
if it was sent by key and has no run yet, under the advisory lock.
"""

from __future__ import annotations

from runs.queries.database import Statement
from runs.queries.hashes import hashed
from runs.queries.waits import WAIT_COLUMNS


def written(name: str, payload: str) -> str:
    """Return the SQL of a signal's name and payload as one jsonb value, to be compared and hashed."""
    return f"jsonb_build_object('name', {name}, 'payload', {payload})"


# Taken in the order of the locks' ids. The same name and key in another workspace only shares the lock.
LOCK_KEYS = Statement(
    "lock_signal_keys",
    """
    WITH wanted AS MATERIALIZED (
        SELECT DISTINCT hashtextextended(name || E'\\x1f' || key, 0) AS id
        FROM unnest(%(names)s::text[], %(keys)s::text[]) AS d(name, key) ORDER BY id
    )
    SELECT pg_advisory_xact_lock(id) FROM wanted
    """,
)

# In any state: a signal that is sent again gets the same result, even if its run has ended since.
LOCK_RUNS = Statement(
    "lock_signalled",
    """
    SELECT id, state, workspace_id FROM runs_run WHERE id = ANY(%(runs)s::uuid[])
    ORDER BY id FOR NO KEY UPDATE
    """,
)

# For each run, the step that has waited longest for this signal. The runs are locked.
WAITING_FOR = Statement(
    "waiting_for",
    f"""
    SELECT DISTINCT ON (s.run_id) {WAIT_COLUMNS}
    FROM runs_steprun s JOIN runs_run r ON r.id = s.run_id
    WHERE s.run_id = ANY(%(runs)s::uuid[]) AND s.state = 'waiting' AND s.signal = %(name)s
      AND (%(key)s::text IS NULL OR s.signal_key = %(key)s)
    ORDER BY s.run_id, s.started_at, s.id
    """,  # noqa: S608 - constant text only
)

# One waiting step of each of these runs, by its name. The runs are locked.
WAITING_AT = Statement(
    "waiting_at",
    f"""
    SELECT {WAIT_COLUMNS}
    FROM unnest(%(runs)s::uuid[], %(steps)s::text[], %(items)s::int[]) AS d(run_id, step, item)
    JOIN runs_steprun s ON s.run_id = d.run_id AND s.step = d.step AND s.item = d.item
    JOIN runs_run r ON r.id = s.run_id
    WHERE s.state = 'waiting' AND s.signal = %(name)s
    """,  # noqa: S608 - constant text only
)

# Runs with a step that waits for this name and key. Index step_run_signal. The advisory lock is held.
WAITING_WITH_KEY = Statement(
    "waiting_with_key",
    """
    SELECT DISTINCT s.run_id FROM runs_steprun s JOIN runs_run r ON r.id = s.run_id
    WHERE s.state = 'waiting' AND s.signal IS NOT NULL AND s.signal = %(name)s AND s.signal_key = %(key)s
      AND r.workspace_id = %(workspace)s LIMIT %(limit)s
    """,
)

# For each run: its version, the steps that can no longer begin to wait for this signal (if one waited for it now, it
# would have been woken instead), the number of signals of this name kept for it, and the outcome of its work. The runs
# are locked.
SIGNALLED_RUNS = Statement(
    "signal_standing",
    """
    SELECT r.id, r.version_id,
           ARRAY(SELECT s.step FROM runs_steprun s WHERE s.run_id = r.id AND s.item = -1
                 AND s.state NOT IN ('running', 'retrying')),
           (SELECT count(*) FROM runs_signal g
            WHERE g.run_id = r.id AND g.name = %(name)s AND g.used_at IS NULL),
           r.ending
    FROM runs_run r WHERE r.id = ANY(%(runs)s::uuid[])
    """,
)

_GIVEN = f"(SELECT {written('%(name)s::text', '%(payload)s::jsonb')} AS message) d"
_WRITTEN = written("g.name", "g.payload")
_HASHES = f"""CASE WHEN {_WRITTEN} <> d.message THEN {hashed(_WRITTEN)} END,
           CASE WHEN {_WRITTEN} <> d.message THEN {hashed("d.message")} END"""

# Signals that have an idempotency key; and where name and payload are not those that are given, the hashes of both.
KNOWN = Statement(
    "known_signals",
    f"""
    SELECT g.id, g.run_id, {_HASHES} FROM runs_signal g, {_GIVEN}
    WHERE g.run_id = ANY(%(runs)s::uuid[]) AND g.key IS NULL AND g.idempotency_key = %(once)s
    """,  # noqa: S608 - constant text only
)

KNOWN_BY_KEY = Statement(
    "known_signals_by_key",
    f"""
    SELECT g.id, g.run_id, {_HASHES} FROM runs_signal g, {_GIVEN}
    WHERE g.workspace_id = %(workspace)s AND g.name = %(name)s AND g.key = %(key)s AND g.idempotency_key = %(once)s
    """,  # noqa: S608 - constant text only
)

# One row for each run; or a single row without a run, which is kept for the first step that waits for its key.
INSERT = Statement(
    "insert_signals",
    """
    INSERT INTO runs_signal (id, workspace_id, run_id, name, key, payload, idempotency_key, by_id, sent_at, expires_at,
                             step, item, used_at)
    SELECT d.id, %(workspace)s, d.run_id, %(name)s, %(key)s, %(payload)s::jsonb, %(once)s, %(by)s, clock_timestamp(),
           CASE WHEN d.run_id IS NULL THEN clock_timestamp() + %(keep)s * interval '1 second' END,
           d.step, d.item, CASE WHEN d.step IS NOT NULL THEN clock_timestamp() END
    FROM unnest(%(ids)s::uuid[], %(runs)s::uuid[], %(steps)s::text[], %(items)s::int[]) AS d(id, run_id, step, item)
    """,
)

# Give kept signals to steps that have just begun to wait, the oldest signal to the first step. The runs are locked.
MEET = Statement(
    "meet_signals",
    """
    WITH parked AS (
        SELECT d.*, row_number() OVER (PARTITION BY run_id, name ORDER BY step, item) AS place
        FROM unnest(%(runs)s::uuid[], %(items)s::int[], %(steps)s::text[], %(names)s::text[])
             AS d(run_id, item, step, name)
    ),
    kept AS (
        SELECT g.id, g.run_id, g.name, row_number() OVER (PARTITION BY run_id, name ORDER BY sent_at, id) AS place
        FROM runs_signal g
        WHERE g.used_at IS NULL AND g.run_id = ANY(%(runs)s::uuid[]) AND g.name = ANY(%(names)s::text[])
    )
    UPDATE runs_signal g SET step = p.step, item = p.item, used_at = clock_timestamp()
    FROM kept k JOIN parked p USING (run_id, name, place) WHERE g.id = k.id AND g.used_at IS NULL
    RETURNING p.run_id, p.item, p.step, g.payload, g.sent_at
    """,
)

# The same for signals that were sent by key before any step waited for it. The advisory locks are held, and the runs
# are locked.
MEET_BY_KEY = Statement(
    "meet_signals_by_key",
    """
    WITH parked AS (
        SELECT d.*, r.workspace_id,
               row_number() OVER (PARTITION BY r.workspace_id, name, key ORDER BY run_id, step, item) AS place
        FROM unnest(%(runs)s::uuid[], %(items)s::int[], %(steps)s::text[], %(names)s::text[], %(keys)s::text[])
             AS d(run_id, item, step, name, key)
        JOIN runs_run r ON r.id = d.run_id
    ),
    kept AS (
        SELECT g.id, g.workspace_id, g.name, g.key,
               row_number() OVER (PARTITION BY workspace_id, name, key ORDER BY sent_at, id) AS place
        FROM runs_signal g
        WHERE g.used_at IS NULL AND g.run_id IS NULL AND g.expires_at > clock_timestamp()
          AND (g.name, g.key) IN (SELECT name, key FROM parked)
    )
    UPDATE runs_signal g SET run_id = p.run_id, step = p.step, item = p.item, used_at = clock_timestamp()
    FROM kept k JOIN parked p USING (workspace_id, name, key, place)
    WHERE g.id = k.id AND g.used_at IS NULL AND g.run_id IS NULL
    RETURNING p.run_id, p.item, p.step, g.payload, g.sent_at
    """,
)

# Delete expired signals that were kept for a key for which no step came to wait. Index signal_expires.
FORGET = Statement(
    "forget_signals",
    """
    DELETE FROM runs_signal WHERE id IN (
        SELECT id FROM runs_signal WHERE used_at IS NULL AND run_id IS NULL AND expires_at < (SELECT clock_timestamp())
        ORDER BY expires_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    ) AND used_at IS NULL
    RETURNING 1
    """,
)
