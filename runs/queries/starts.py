"""The statements that insert runs. Lock order, and rules because of the planner, as in runs.queries.records."""

from __future__ import annotations

from runs.queries.database import Statement
from runs.queries.hashes import hashed
from runs.queries.lanes import free
from workflows.workspaces.permissions import TOKENS_THAT_MAY_START

# A new run of a paused workflow is paused from the start.
PAUSED_WITH_RECIPE = """
    CASE WHEN recipe.paused_at IS NOT NULL THEN clock_timestamp() END,
    CASE WHEN recipe.paused_at IS NOT NULL THEN 'workflow' END
"""
# `recipe` takes the locks that foreign keys would take for each run. So a pause of the workflow, its archiving, or a
# deletion of the version, comes either wholly before this start or wholly after it.
# A run is admitted at once if runs.queries.admission.ADMIT would take it next: no run of its workspace is queued, and
# no limit applies.
_START = f"""
    WITH recipe AS MATERIALIZED (
        SELECT w.paused_at, v.roots, v.timeout * interval '1 second' AS timeout, waits, unlimited,
               %(begin)s AND unlimited AND NOT waits AND w.paused_at IS NULL AS begins{{also}}
        FROM workflows_workflow w JOIN workflows_version v ON v.id = %(version)s
        JOIN workflows_workspace s ON s.id = w.workspace_id, LATERAL (SELECT EXISTS (
            SELECT 1 FROM runs_run r WHERE {free("r")} AND r.workspace_id = s.id) AS waits,
            s.concurrent_runs IS NULL AND s.runs_per_minute IS NULL AS unlimited OFFSET 0) line
        WHERE w.id = %(workflow)s AND w.archived_at IS NULL FOR KEY SHARE OF w, v
    ),
    started AS (
        INSERT INTO runs_run (id, workspace_id, workflow_id, version_id, state, idempotency_key, source, labels, input,
                              generation, priority, gate_id, paused_at, paused_through, started_at, deadline)
        SELECT d.id, %(workspace)s, %(workflow)s, %(version)s, CASE WHEN begins THEN 'running' ELSE 'queued' END,
               d.key, %(source)s, d.labels::jsonb, d.input::jsonb, 1, d.priority, d.gate, {PAUSED_WITH_RECIPE},
               CASE WHEN begins THEN clock_timestamp() END, CASE WHEN begins THEN clock_timestamp() + timeout END
        FROM recipe, {{asked}}unnest(%(ids)s::uuid[], %(keys)s::text[], %(labels)s::text[], %(inputs)s::text[],
                             %(priorities)s::smallint[], %(gates)s::bigint[]{{given}})
                      d(id, key, labels, input, priority, gate{{columns}}){{may}}
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
    SELECT s.id, t.id, t.head, date_part('epoch', s.started_at), s.input,
           (SELECT waits AND unlimited FROM recipe){{out}}
"""  # noqa: S608 - constant text only

_STARTED = "started s LEFT JOIN tickets t ON t.run_id = s.id"
START = Statement("start", _START.format(also="", asked="", given="", columns="", may="", out=f" FROM {_STARTED}"))

# As START, for requests that were authorized by an API token. The token, its user, and the workflow's name and current
# version, as they were when the request was read, are checked again in the same snapshot. Returns at least one row,
# with NULLs if no run was inserted; no row if the workflow or its version was deleted. Index scans by primary and
# unique keys.
START_AUTHORIZED = Statement(
    "start_by_leave",
    _START.format(
        also=f""",
               CASE WHEN w.current_id = v.id AND w.workspace_id = %(workspace)s THEN w.name END AS name, ARRAY(
                   {TOKENS_THAT_MAY_START}) AS good""",
        asked="LATERAL (SELECT * FROM ",
        given=", %(tokens)s::text[], %(names)s::text[]",
        columns=", token, name",
        # A CASE, because the planner cannot estimate it. It would expect a single row of a plain condition, and join
        # row by row.
        may=""" WHERE CASE WHEN d.token IS NULL THEN true
                      ELSE d.name = recipe.name AND d.token = ANY(recipe.good) END OFFSET 0) d""",
        out=f", recipe.name, recipe.good FROM recipe LEFT JOIN ({_STARTED}) ON true",
    ),
)

# Returns the number of each key that is known, from 1, and its run; and the hashes of both inputs where they differ.
# An input that is NULL is not compared. One index scan for each key.
KNOWN_KEYS = Statement(
    "known_keys",
    f"""
    SELECT d.n, r.id, r.state, CASE WHEN r.input <> d.input::jsonb THEN {hashed("r.input")} END,
           CASE WHEN r.input <> d.input::jsonb THEN {hashed("d.input::jsonb")} END
    FROM unnest(%(keys)s::text[], %(inputs)s::text[]) WITH ORDINALITY AS d(key, input, n)
    CROSS JOIN LATERAL (
        SELECT id, state, input FROM runs_run
        WHERE workflow_id = %(workflow)s AND idempotency_key = d.key LIMIT 1
    ) r
    """,  # noqa: S608 - constant text only
)
