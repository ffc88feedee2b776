"""Tens of thousands of steps wait: the sweep and the doors find what they look for by an index, and touch no other."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.db import connection

from runs.control import approvals
from runs.maintenance import sweep
from runs.models import StepRun
from runs.queries import signals, stops, sub_workflows, waits
from runs.queries import sweep as sweep_queries
from runs.queries.database import Statement, run
from tests.flows import begun, published, workspace
from tests.runs.control.test_signals import paid, send_by_key

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("fresh_tables")]

WAITING = 20_000
KEY = f"k{WAITING // 2}"
MANY = Statement(
    "many_waits",
    """
    WITH made AS (
        INSERT INTO runs_run (id, workspace_id, workflow_id, version_id, state, source, labels, input, generation,
                              started_at, deadline)
        SELECT gen_random_uuid(), workspace_id, workflow_id, version_id, 'waiting', 'test', '{}', '{}', 1, now(),
               now() + interval '1 hour'
        FROM runs_run, generate_series(1, %(count)s) RETURNING id
    )
    INSERT INTO runs_steprun (run_id, step, item, state, attempt, attempts, signal, signal_key, wake_at, started_at)
    SELECT id, 'pay', -1, 'waiting', 1, '[]', 'paid', 'k' || row_number() OVER (), now() + interval '1 hour', now()
    FROM made
    """,
)


def plan_of(statement: Statement, **params: Any) -> str:
    explained = Statement(statement.name, f"EXPLAIN (ANALYZE, BUFFERS, COSTS OFF) {statement.sql}")
    return "\n".join(row[0] for row in run(explained, **params))


def pages(plan: str) -> int:
    """8 KB pages that the statement looked at."""
    found = re.search(r"Buffers: shared (?:hit=(\d+))?(?: ?read=(\d+))?", plan)
    assert found is not None
    return sum(int(number or 0) for number in found.groups())


def test_what_waits_costs_the_sweep_nothing_until_it_is_due() -> None:
    begun(published(paid(key="x")), {})
    sweep.sweep()
    run(MANY, count=WAITING)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE runs_steprun, runs_run, runs_signal")
    address = {"name": "paid", "key": KEY, "workspace": workspace().pk}
    plans = [
        plan_of(sweep_queries.ANYTHING_DUE, host="here"),
        plan_of(waits.DUE_WAITS, limit=200),
        plan_of(waits.DUE_BLOCKED, limit=200),
        plan_of(sub_workflows.ANSWERED, limit=200),
        plan_of(stops.OVERDUE, limit=200),
        plan_of(signals.WAITING_WITH_KEY, limit=1001, **address),
    ]
    assert not [plan for plan in plans if "Seq Scan on runs_steprun" in plan]
    assert [plan for plan in plans if pages(plan) >= 60] == []
    with connection.cursor() as cursor:
        cursor.execute("UPDATE runs_steprun SET signal = ':approval', signal_key = NULL WHERE signal_key <> %s", [KEY])
        cursor.execute("ANALYZE runs_steprun")
    elsewhere = approvals.pending(StepRun.objects.filter(run__workspace=workspace("elsewhere")))
    listed = elsewhere.select_related("run__workflow").order_by("-id")[:51]
    assert pages(listed.explain(analyze=True, buffers=True)) < 60, "others' approvals are not looked at"
    [sent] = send_by_key(KEY)
    assert sent.run_id is not None
    assert StepRun.objects.filter(state="waiting").count() == WAITING - 1
