"""What the admin shows of a step over a list: how its items ended, which failed, and where all of them are."""

from __future__ import annotations

from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from runs.admin.item_tables import SHOWN_FAILED
from runs.models import StepRun
from tests.engine import deliver, drain
from tests.flows import begun, published
from tests.runs.doors import admin

pytestmark = pytest.mark.django_db(transaction=True)

SUMS = """
name: sums
steps:
  - id: each
    for_each: {items: "{{ input.rows }}", on_item_error: continue}
    if: item != 7
    action: transform
    with: {set: {n: "{{ item + 1 }}"}}
"""


def page(run_id: UUID) -> str:
    answer = admin().get(reverse("admin:runs_run_change", args=[run_id]))
    assert answer.status_code == 200
    return answer.content.decode()


def test_a_list_under_way_is_told_on_the_page_of_its_run() -> None:
    [run_id] = begun(published(SUMS), {"rows": [1, 2]})
    deliver()
    shown = page(run_id)
    assert "Performs its items" in shown
    assert "2 items: 2 under way or to come" in shown


def test_failed_items_are_named_with_their_errors_and_lead_to_all_of_them() -> None:
    bad = SHOWN_FAILED + 3
    [run_id] = begun(published(SUMS), {"rows": [1, 7, *["<b>"] * bad]})
    drain()
    shown = page(run_id)
    assert f"{bad + 2} items: 1 succeeded, {bad} failed, 1 skipped" in shown
    assert "item 2</a>" in shown
    assert f"item {1 + SHOWN_FAILED}</a>" in shown
    assert f"item {2 + SHOWN_FAILED}</a>" not in shown
    assert "3 more failed" in shown
    assert "<b>" not in shown
    row = StepRun.objects.get(run_id=run_id, item=2)
    assert reverse("admin:runs_steprun_change", args=[row.pk]) in shown
    listed = reverse("admin:runs_steprun_changelist")
    query = {"run__exact": str(run_id), "step__exact": "each", "item__gte": "0", "state__exact": "failed"}
    assert f"{listed}?run__exact={run_id}&amp;step__exact=each&amp;item__gte=0&amp;state__exact=failed" in shown
    answer = admin().get(listed, query)
    assert answer.status_code == 200
    assert answer.context["cl"].result_count == bad


def test_the_page_costs_the_same_however_many_items_failed() -> None:
    client = admin()
    flow = published(SUMS)

    def queries(rows: list[object]) -> int:
        [run_id] = begun(flow, {"rows": rows})
        drain()
        address = reverse("admin:runs_run_change", args=[run_id])
        client.get(address)
        with CaptureQueriesContext(connection) as captured:
            assert client.get(address).status_code == 200
        return len(captured)

    assert queries(["a"] * 40) == queries(["a"]) == queries([1]) + 1
