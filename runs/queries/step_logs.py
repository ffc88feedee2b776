"""The statement of log lines: append to the logs of a set of steps, as far as their bounds allow."""

from __future__ import annotations

from runs.queries.database import Statement

# Lines of a step that are stored, and about how many bytes of them.
MOST_LINES = 200
MOST_BYTES = 32 * 1024

# `lines` are JSON lists, each within the bounds by itself. Returns the steps whose log is full. Steps of runs that are
# gone are left out.
APPEND_LOGS = Statement(
    "append_logs",
    f"""
    WITH d AS MATERIALIZED (
        SELECT run_id, step, item, lines::jsonb AS lines, dropped
        FROM unnest(%(runs)s::uuid[], %(steps)s::text[], %(items)s::int[], %(lines)s::text[], %(dropped)s::bigint[])
             AS d(run_id, step, item, lines, dropped)
        ORDER BY run_id, step, item
    )
    INSERT INTO runs_steplog AS l (run_id, step, item, lines, count, size, dropped)
    SELECT d.run_id, d.step, d.item, d.lines, jsonb_array_length(d.lines), octet_length(d.lines::text), d.dropped
    FROM d, LATERAL (SELECT 1 FROM runs_run WHERE id = d.run_id LIMIT 1) r
    ON CONFLICT (run_id, step, item) DO UPDATE SET (lines, count, size, dropped) = (
        SELECT l.lines || coalesce(jsonb_agg(x.line ORDER BY x.n) FILTER (WHERE x.fits), '[]'),
               l.count + count(*) FILTER (WHERE x.fits),
               l.size + coalesce(sum(x.bytes) FILTER (WHERE x.fits), 0),
               l.dropped + excluded.dropped + count(*) FILTER (WHERE NOT x.fits)
        FROM (SELECT line, n, bytes,
                     l.dropped = 0 AND l.count + n <= {MOST_LINES}
                     AND l.size + sum(bytes) OVER (ORDER BY n) <= {MOST_BYTES} AS fits
              FROM (SELECT line, n, octet_length(line::text) AS bytes
                    FROM jsonb_array_elements(excluded.lines) WITH ORDINALITY AS t(line, n)) y) x
    )
    RETURNING run_id, step, item, count >= {MOST_LINES} OR dropped > 0
    """,  # noqa: S608 - constant text only
)
