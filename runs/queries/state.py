"""The statements of state: values under keys that runs share.

Lock order as in runs.queries.records: a step locks one key, before it locks its run in the record, and nothing after
that locks a key. So a transaction that waits for a key holds no other lock, and no two can wait for each other.
"""

from __future__ import annotations

from runs.queries.database import Statement

_SCOPE = """(SELECT CASE WHEN %(own)s::bool THEN workflow_id ELSE workspace_id END
             FROM runs_run WHERE id = %(run)s::uuid)"""
_COLUMNS = "id, value::text, version, expires_at, coalesce(expires_at <= clock_timestamp(), false)"

READ_STATE = Statement(
    "read_state",
    f"SELECT {_COLUMNS} FROM runs_state WHERE scope = {_SCOPE} AND key = %(key)s",  # noqa: S608 - constant text only
)
LOCK_STATE = Statement("lock_state", f"{READ_STATE.sql} FOR NO KEY UPDATE")

# Nothing is inserted if another run has inserted the key meanwhile (this waits for its end), or if the workspace has
# `most` keys. Steps that begin at the same moment may go a few keys beyond that.
INSERT_STATE = Statement(
    "insert_state",
    """
    INSERT INTO runs_state (workspace_id, workflow_id, scope, key, value, version, expires_at)
    SELECT r.workspace_id, CASE WHEN %(own)s::bool THEN r.workflow_id END,
           CASE WHEN %(own)s::bool THEN r.workflow_id ELSE r.workspace_id END,
           %(key)s, %(value)s::jsonb, nextval('runs_state_version'),
           clock_timestamp() + make_interval(secs => %(ttl)s::float8)
    FROM runs_run r
    WHERE r.id = %(run)s::uuid AND %(most)s::int > (
        SELECT count(*) FROM (SELECT FROM runs_state s WHERE s.workspace_id = r.workspace_id LIMIT %(most)s::int) s
    )
    ON CONFLICT (scope, key) DO NOTHING
    RETURNING version, expires_at
    """,
)
# The row is locked. `keeps`: it goes on to expire when it would have.
UPDATE_STATE = Statement(
    "update_state",
    """
    UPDATE runs_state
    SET value = %(value)s::jsonb, version = nextval('runs_state_version'), updated_at = clock_timestamp(),
        expires_at = CASE WHEN %(keeps)s::bool THEN expires_at
                          ELSE clock_timestamp() + make_interval(secs => %(ttl)s::float8) END
    WHERE id = %(id)s::bigint
    RETURNING version, expires_at
    """,
)
DELETE_STATE = Statement("delete_state", "DELETE FROM runs_state WHERE id = %(id)s::bigint")

# Rows that a step has locked are left to the next round.
FORGET_STATE = Statement(
    "forget_state",
    """
    WITH gone AS MATERIALIZED (
        SELECT id FROM runs_state WHERE expires_at <= clock_timestamp()
        ORDER BY expires_at LIMIT %(most)s::int FOR UPDATE SKIP LOCKED
    ),
    deleted AS (DELETE FROM runs_state WHERE id = ANY(ARRAY(SELECT id FROM gone)) RETURNING 1)
    SELECT count(*) FROM deleted
    """,
)
