"""`python -m benchmarks.fill --runs 1000000`: insert finished W3 runs into the database of a running `make up`.

The rows look as the engine writes them, spread over the last year; most are of one workflow in one workspace. Some make
lists slow: a small workspace and a rare workflow whose few runs are the oldest, rare states, rare and frequent labels,
idempotency keys, closed dead letters and a few open ones.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workflows.publishing.publish import Published

CHUNK = 100_000
# How many of every 1,000 runs have failed, each with a dead letter, and how many were cancelled.
FAILED, CANCELLED = 30, 5
# The oldest FEW runs are of the small workspace, the next FEW of the rare workflow; the next 101 are compensated.
FEW = 1000
DAYS = 365

# The ids are UUIDs of version 7 with the time of creation; `n` makes them unique and keeps their order.
_MADE = """
    CREATE TEMPORARY TABLE made ON COMMIT DROP AS
    SELECT n, at, state, (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7'
                          || lpad(to_hex(n %% 4096), 3, '0') || 'a' || substr(md5(n::text), 1, 15))::uuid AS id,
           CASE WHEN n < %(few)s THEN 1 WHEN n < 2 * %(few)s THEN 2 ELSE 0 END AS flow,
           CASE WHEN n %% 100000 = 7 THEN jsonb_build_object('order', n::text)
                WHEN n %% 10 = 7 THEN '{"team": "shop"}' ELSE '{}' END AS labels,
           jsonb_build_object('n', n, 'digest', md5(n::text) || md5(n::text)) AS output
    FROM (
        SELECT n, %(first)s::timestamptz + (n - %(start)s) * %(apart)s * interval '1 second' AS at,
               CASE WHEN n BETWEEN 2 * %(few)s AND 2 * %(few)s + 100 THEN 'compensated'
                    WHEN n %% 1000 < %(failed)s THEN 'failed'
                    WHEN n %% 1000 < %(failed)s + %(cancelled)s THEN 'cancelled' ELSE 'succeeded' END AS state
        FROM generate_series(%(begin)s::bigint, %(end)s::bigint) n
    ) d ORDER BY n
"""

_RUNS = """
    INSERT INTO runs_run (id, workspace_id, workflow_id, version_id, state, idempotency_key, source, labels, input,
                          output, error, generation, created_at, started_at, finished_at)
    SELECT id, (%(workspaces)s::uuid[])[flow + 1], (%(workflows)s::uuid[])[flow + 1], (%(versions)s::uuid[])[flow + 1],
           state, CASE WHEN n %% 10 = 3 THEN 'order ' || n END, 'bench', labels,
           jsonb_build_object('n', n, 'customer', 'customer ' || n %% 97, 'note', repeat('x', 40)),
           CASE WHEN state = 'succeeded' THEN output END,
           CASE WHEN state = 'failed' THEN '{"kind": "failed", "message": "no", "step": "merge"}'::jsonb END,
           1, at, at + interval '2 ms', at + interval '5 ms'
    FROM made ORDER BY n
"""

_STEPS = """
    INSERT INTO runs_steprun (run_id, step, item, state, attempt, attempts, config, output, error, started_at,
                              finished_at)
    SELECT m.id, s.step, -1,
           CASE WHEN s.step = 'merge' AND m.state IN ('failed', 'cancelled') THEN m.state ELSE 'succeeded' END, 1, '[]',
           CASE s.step WHEN 'merge' THEN jsonb_build_object('set', m.output) END,
           CASE s.step WHEN 'pick' THEN jsonb_build_object('n', m.n)
                WHEN 'work' THEN jsonb_build_object('result', m.output -> 'digest') ELSE m.output END,
           CASE WHEN s.step = 'merge' AND m.state = 'failed' THEN '{"kind": "failed", "message": "no"}'::jsonb END,
           m.at + interval '3 ms', m.at + interval '5 ms'
    FROM made m, (VALUES (1, 'pick'), (2, 'work'), (3, 'merge')) AS s(place, step) ORDER BY m.n, s.place
"""

_LETTERS = """
    INSERT INTO runs_deadletter (id, workspace_id, workflow_id, labels, run_id, step, item, state, reason, error,
                                 attempts, resolution, alert_due, created_at, resolved_at)
    SELECT id, (%(workspaces)s::uuid[])[flow + 1], (%(workflows)s::uuid[])[flow + 1], labels, id, 'merge', -1,
           CASE WHEN n %% 100000 < 30 THEN 'open' ELSE 'discarded' END, 'failed', '{"kind": "failed", "message": "no"}',
           '[]', '', false, at, CASE WHEN n %% 100000 >= 30 THEN at END
    FROM made WHERE state = 'failed' ORDER BY n
"""


def fill(
    runs: int, *, tell: Callable[[str], object], start: int = 0, since_days: int = DAYS, days: int = DAYS
) -> Published:
    """Insert finished runs, numbered from `start` on. Return the published W3 workflow, to which most of them belong.

    Their times are spread evenly over the given days. Ends with VACUUM ANALYZE.
    """
    from django.db import connection, transaction

    made = flows()
    names: dict[str, Any] = {
        "workspaces": [one.workflow.workspace_id for one in made],
        "workflows": [one.workflow.pk for one in made],
        "versions": [one.version.pk for one in made],
        "few": FEW,
        "failed": FAILED,
        "cancelled": CANCELLED,
        "start": start,
        "apart": days * 86400 / runs,
    }
    began = time.monotonic()
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0; SET synchronous_commit = off; SET work_mem = '256MB'")
        cursor.execute("SELECT clock_timestamp() - %s * interval '1 day'", [since_days])
        names["first"] = cursor.fetchone()[0]
        for first in range(start, start + runs, CHUNK):
            behind = min(first + CHUNK, start + runs)
            with transaction.atomic():
                for statement in (_MADE, _RUNS, _STEPS, _LETTERS):
                    cursor.execute(statement, {**names, "begin": first, "end": behind - 1})
            tell(f"{behind} runs after {time.monotonic() - began:.0f} s")
        cursor.execute("VACUUM (ANALYZE)")
        # A checkpoint now, so that the next measurement does not wait for the disk because of these rows.
        cursor.execute("CHECKPOINT")
        cursor.execute("RESET statement_timeout; RESET synchronous_commit; RESET work_mem")
    tell(f"vacuumed after {time.monotonic() - began:.0f} s")
    return made[0]


def flows() -> list[Published]:
    """Publish W3, the W3 of a small workspace, and a workflow that is rarely run."""
    from django.contrib.auth import get_user_model

    from benchmarks import work
    from workflows.formats import parse
    from workflows.models import Workspace
    from workflows.publishing.publish import publish

    owner = get_user_model().objects.get_or_create(username="bench")[0]
    named = (("default", "w3"), ("small", "w3"), ("default", "rare"))
    return [
        publish(
            parse.load(work.DEFINITION.replace("name: w3", f"name: {name}")).document,
            workspace=Workspace.objects.get_or_create(name=workspace)[0],
            owner=owner,
        )
        for workspace, name in named
    ]


def main() -> None:
    """Insert the runs into the database of the settings, which should be a trial installation's."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fill", description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000_000)
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    import django

    django.setup()
    fill(options.runs, tell=lambda line: sys.stdout.write(line + "\n"))


if __name__ == "__main__":
    main()
