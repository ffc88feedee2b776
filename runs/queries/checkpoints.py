"""The statements of checkpoints: save one under its attempt's fence, and read what the next attempt resumes."""

from __future__ import annotations

from runs.queries.database import Statement

# Returns no row if the fence is lost: the attempt no longer runs. Each claim has a number of its own, so that tells it
# from every other. The row is locked, so that no other attempt begins before this is committed; nothing is waited for
# while it is.
SAVE_CHECKPOINT = Statement(
    "save_checkpoint",
    """
    WITH held AS MATERIALIZED (
        SELECT 1 FROM runs_steprun
        WHERE run_id = %(run)s AND step = %(step)s AND item = %(item)s AND attempt = %(attempt)s
          AND state || '' = 'running' FOR SHARE
    )
    INSERT INTO runs_checkpoint (run_id, step, item, attempt, basis, data, done, failed, total)
    SELECT %(run)s, %(step)s, %(item)s, %(attempt)s, %(basis)s, %(data)s::text::jsonb,
           %(done)s::bigint, %(failed)s::bigint, %(total)s::bigint
    FROM held
    ON CONFLICT (run_id, step, item) DO UPDATE
        SET attempt = excluded.attempt, basis = excluded.basis, data = excluded.data, done = excluded.done,
            failed = excluded.failed, total = excluded.total, at = clock_timestamp()
    RETURNING 1
    """,
)

RESUME = Statement(
    "resume",
    """
    SELECT data FROM runs_checkpoint
    WHERE run_id = %(run)s AND step = %(step)s AND item = %(item)s AND basis = %(basis)s
    """,
)
