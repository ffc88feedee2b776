"""Check every run of a measurement afterwards: it exists, has ended, and each step is recorded once and correctly."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import connection, transaction

from benchmarks import work

if TYPE_CHECKING:
    from workflows.models import Workflow

# Each query counts rows that are wrong, so 0 is right. `mine` are the measurement's runs, `steps` their step rows.
_FAULTS = {
    "runs too few or too many": "SELECT abs(%(count)s - count(*)) FROM mine",
    "inputs that are not there once": "SELECT %(count)s - count(DISTINCT n) FROM mine",
    "runs that did not succeed": "SELECT count(*) FROM mine WHERE state <> 'succeeded'",
    "runs with a wrong output": "SELECT count(*) FROM mine WHERE output IS DISTINCT FROM merged",
    "runs without times": "SELECT count(*) FROM mine WHERE NOT coalesce(started_at <= finished_at, false)",
    "runs without exactly three steps": """
        SELECT count(*) FROM (
            SELECT mine.id FROM mine LEFT JOIN steps ON steps.run_id = mine.id GROUP BY mine.id
            HAVING array_agg(steps.step ORDER BY steps.step) IS DISTINCT FROM ARRAY['merge', 'pick', 'work']
        ) wrong""",
    "steps that did not succeed": "SELECT count(*) FROM steps WHERE state <> 'succeeded' OR item <> -1",
    "steps with a wrong output": """
        SELECT count(*) FROM steps JOIN mine ON mine.id = steps.run_id WHERE steps.output IS DISTINCT FROM
            CASE step WHEN 'pick' THEN jsonb_build_object('n', n) WHEN 'merge' THEN merged
                ELSE jsonb_build_object('iterations', 1, 'result', %(digest)s::text) END""",
    "steps with a wrong config": """
        SELECT count(*) FROM steps JOIN mine ON mine.id = steps.run_id WHERE steps.config IS DISTINCT FROM
            CASE step WHEN 'merge' THEN jsonb_build_object('set', merged) END""",
    "inputs that were changed": """
        SELECT count(*) FROM mine WHERE input IS DISTINCT FROM
            jsonb_build_object('n', n, 'customer', 'customer ' || n::int %% 97, 'note', repeat('x', 40))""",
    "steps without times": "SELECT count(*) FROM steps WHERE NOT coalesce(started_at <= finished_at, false)",
    "tickets left": "SELECT count(*) FROM runs_ticket JOIN mine ON mine.id = runs_ticket.run_id",
    "dead letters": "SELECT count(*) FROM runs_deadletter JOIN mine ON mine.id = runs_deadletter.run_id",
}
# All counts in one statement, after a check of the largest number, which shows runs beyond 0..count-1.
_ASKED = "".join(f", ({sql})" for sql in _FAULTS.values())
_ALL = f"""
    WITH mine AS MATERIALIZED (
        SELECT id, state, output, started_at, finished_at, input, input -> 'n' AS n,
               jsonb_build_object('n', input -> 'n', 'digest', %(digest)s::text) AS merged
        FROM runs_run WHERE workflow_id = %(workflow)s AND created_at >= %(since)s::timestamptz
    ),
    steps AS MATERIALIZED (
        SELECT s.run_id, s.step, s.item, s.state, s.output, s.config, s.started_at, s.finished_at
        FROM runs_steprun s JOIN mine ON mine.id = s.run_id
    )
    SELECT (SELECT coalesce(max((n)::int), -1) - %(count)s + 1 FROM mine){_ASKED}
"""  # noqa: S608 - constant text only


class Lost(SystemExit):
    """A run or step is missing, wrong, or doubled. The benchmark ends without a result."""


def clock() -> str:
    """Return the database's time; runs started from then on belong to the measurement."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()::text")
        return str(cursor.fetchone()[0])


def faults(workflow: Workflow, *, count: int, since: str) -> dict[str, int]:
    """Return what is wrong with the `count` W3 runs (of inputs 0 to count - 1) started since; empty if nothing is."""
    given: dict[str, str | int] = {"workflow": str(workflow.pk), "since": since, "count": count, "digest": work.DIGEST}
    with transaction.atomic(), connection.cursor() as cursor:
        # The planner has no statistics on runs that were inserted a moment ago, and would choose a slow nested loop.
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.execute("SET LOCAL enable_nestloop = off")
        cursor.execute(_ALL, given)
        row = cursor.fetchone()
    names = ("inputs beyond the last", *_FAULTS)
    return {name: int(number) for name, number in zip(names, row, strict=True) if number}


def without(workflow: Workflow, *, rows: int) -> int:
    """Count the workflow's runs that did not succeed, or that do not have `rows` step and item rows, all succeeded."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.execute(
            """
            SELECT count(*) FROM runs_run r WHERE r.workflow_id = %s AND (r.state <> 'succeeded' OR %s <> (
                SELECT CASE WHEN bool_and(state = 'succeeded' AND started_at <= finished_at) THEN count(*) END
                FROM runs_steprun s WHERE s.run_id = r.id))
            """,
            [workflow.pk, rows],
        )
        return int(cursor.fetchone()[0])


def check(workflow: Workflow, *, count: int, since: str) -> int:
    """Check the runs and return how many there are. Raises Lost, which ends the suite, if anything is wrong."""
    found = faults(workflow, count=count, since=since)
    if found:
        counts = "; ".join(f"{name}: {number}" for name, number in found.items())
        raise Lost(f"the history of {count} runs started since {since} is not whole: {counts}")
    return count
