"""The statements of effects: results kept by `context.once`, and the timeout of a transactional step's statements."""

from __future__ import annotations

from runs.queries.database import Statement

KNOWN_EFFECT = Statement(
    "known_effect",
    """
    SELECT value FROM runs_effect
    WHERE run_id = %(run)s AND step = %(step)s AND item = %(item)s AND name = %(name)s
    """,
)

# Two attempts can overlap if the first one's worker only seemed dead: the first result stays.
RECORD_EFFECT = Statement(
    "record_effect",
    """
    INSERT INTO runs_effect (run_id, step, item, name, value)
    VALUES (%(run)s, %(step)s, %(item)s, %(name)s, %(value)s::jsonb)
    ON CONFLICT (run_id, step, item, name) DO NOTHING RETURNING 1
    """,
)

# Until the end of the transaction: no statement of an attempt may take longer than the step's timeout.
LIMIT_STATEMENTS = Statement("limit_statements", "SELECT set_config('statement_timeout', %(milliseconds)s::text, true)")
