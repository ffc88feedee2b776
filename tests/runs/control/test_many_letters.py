"""Tens of thousands of dead letters: lists and counts find theirs by an index, and do not look at the runs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.test.utils import CaptureQueriesContext

from runs.models import DeadLetter, Run
from runs.queries import metrics
from runs.queries.database import Statement, run
from tests.engine import drain
from tests.flows import begun, published, workspace
from tests.runs.doors import admin, api
from tests.runs.engine.test_many_waits import pages, plan_of
from tests.waiting import wait_for
from workflows.publishing.publish import Published

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("fresh_tables")]

FAILS = "name: {}\nlabels: {{tier: gold}}\nsteps: [{{id: a, action: fail}}]"
MANY = 20_000
# Older ones, each of a run of its own: most of them closed, a tenth with a label that many have and a tenth open.
FILL = Statement(
    "many_letters",
    """
    WITH made AS (
        INSERT INTO runs_run (id, workspace_id, workflow_id, version_id, state, source, labels, input, generation,
                              started_at, finished_at)
        SELECT ('01000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, workspace_id, workflow_id, version_id,
               'failed', 'test',
               CASE WHEN n %% 10 = 0 THEN '{"team": "shop"}' ELSE '{}' END::jsonb, to_jsonb(n), 1, now(), now()
        FROM runs_run, generate_series(1, %(count)s) n WHERE workflow_id = %(workflow)s RETURNING *
    )
    INSERT INTO runs_deadletter (id, workspace_id, workflow_id, labels, run_id, step, item, state, reason, error,
                                 attempts, resolution, alert_due, resolved_at)
    SELECT id, workspace_id, workflow_id, labels, id, 'a', -1, CASE WHEN open THEN 'open' ELSE 'discarded' END,
           'failed', '{}', '[]', '', false, CASE WHEN NOT open THEN now() END
    FROM made, LATERAL (SELECT input::int %% 10 = 5 AS open) o
    """,
)


@pytest.fixture
def rare() -> Published:
    """A workflow with two letters, the older one labelled, beside MANY of another."""
    found = published(FAILS.format("rare"))
    begun(found, labels={"order": "7"})
    begun(found)
    often = published(FAILS.format("often"))
    begun(often)
    drain()
    run(FILL, workflow=often.workflow.pk, count=MANY)
    return found


def all_visible() -> bool:
    """Vacuum. Commits do not wait for the disk here, and what is not there yet is not taken for visible to all."""
    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE) runs_run, runs_deadletter")
        cursor.execute("SELECT relallvisible = relpages FROM pg_class WHERE relname = 'runs_deadletter'")
        return bool(cursor.fetchone()[0])


def plans(work: Callable[[], object]) -> list[str]:
    """The plan of each statement about dead letters that this makes."""
    with CaptureQueriesContext(connection) as captured:
        work()
    asked = [one["sql"] for one in captured.captured_queries if "runs_deadletter" in one["sql"]]
    with connection.cursor() as cursor:
        found = []
        for sql in asked:
            cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, COSTS OFF) {sql}")
            found.append("\n".join(row[0] for row in cursor.fetchall()))
    return found


def test_each_letter_has_the_workflow_and_the_labels_of_its_own_run() -> None:
    flows = [published(FAILS.format(name)) for name in ("one", "two")]
    for found in flows:
        begun(found, labels={"team": found.workflow.name})
        begun(found, labels={"tier": "none"})
    drain()
    told = DeadLetter.objects.order_by("run_id").values_list("workflow__name", "labels")
    assert list(told) == [
        ("one", {"tier": "gold", "team": "one"}),
        ("one", {"tier": "none"}),
        ("two", {"tier": "gold", "team": "two"}),
        ("two", {"tier": "none"}),
    ]


def test_lists_and_counts_of_letters_read_as_few_pages_beside_many_and_no_runs(rare: Published) -> None:
    wait_for(all_visible, what="VACUUM to take the letters for visible to all")
    client, browser = api(), admin()
    lists: list[Callable[[], object]] = [
        lambda: client.get("dead-letters"),
        lambda: client.get("dead-letters", workflow="rare"),
        lambda: client.get("dead-letters", workflow="rare", state="discarded"),
        lambda: client.get("dead-letters", **{"label.order": "7"}),
        lambda: client.get("dead-letters", **{"label.order": "none such"}),
        lambda: client.get("dead-letters", **{"label.team": "shop"}),
        lambda: browser.get("/admin/runs/deadletter/", {"workflow": str(rare.workflow.pk)}),
    ]
    for number, work in enumerate(lists):
        found = plans(work)
        assert found, number
        assert [plan for plan in found if "runs_run" in plan or pages(plan) >= 60] == [], number
    counted = plan_of(metrics.FIGURES, workspace=workspace().pk)
    assert "Index Only Scan using dead_letter_open" in counted
    assert pages(counted) < 60
    counts = {row[2]: row[3] for row in run(metrics.FIGURES, workspace=workspace().pk) if row[0] != "runs"}
    assert counts == {"rare": 2, "often": MANY // 10 + 1}


def test_letters_are_found_by_workflow_and_by_any_label_of_their_run(rare: Published) -> None:
    client = api()

    def found(**query: str) -> list[str]:
        status, body = client.get("dead-letters", **query)
        assert status == 200
        return [dead_letter["workflow"] for dead_letter in body["results"]]

    assert found(workflow="rare") == found(workflow=str(rare.workflow.pk)) == ["rare"] * 2
    assert found(**{"label.order": "7"}) == ["rare"]
    assert found(**{"label.tier": "gold"}) == ["often", "rare", "rare"]
    assert found(**{"label.tier": "gold", "label.order": "7"}) == ["rare"]
    assert found(**{"label.order": "8"}) == []
    assert found(**{"label.team": "shop"}) == ["often"] * 50


def test_the_migration_fills_what_letters_know_of_their_runs_and_goes_back() -> None:
    begun(published(FAILS.format("old")), labels={"team": "shop"})
    drain()
    [before] = DeadLetter.objects.values()
    try:
        MigrationExecutor(connection).migrate([("runs", "0019_run_backlog")])
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM runs_deadletter")
            assert not {"workflow_id", "labels"} & {column.name for column in cursor.description}
    finally:
        latest = MigrationExecutor(connection)
        latest.migrate(latest.loader.graph.leaf_nodes("runs"))
    assert [*DeadLetter.objects.values()] == [before]
    assert before["workflow_id"] == Run.objects.get().workflow_id


def test_a_letter_of_a_worker_of_the_version_before_is_completed() -> None:
    begun(published(FAILS.format("old")), labels={"team": "shop"})
    drain()
    older = """
        INSERT INTO runs_deadletter (id, workspace_id, run_id, step, item, state, reason, error, attempts, resolution,
                                     alert_due)
        SELECT gen_random_uuid(), workspace_id, run_id, step, item, state, reason, error, attempts, resolution,
               alert_due
        FROM runs_deadletter
    """
    with connection.cursor() as cursor:
        cursor.execute(older)
    run_of = Run.objects.get()
    assert [(one.workflow_id, one.labels) for one in DeadLetter.objects.all()] == [
        (run_of.workflow_id, run_of.labels)
    ] * 2
