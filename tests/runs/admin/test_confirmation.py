"""The admin's confirmation pages, where the verb wins nothing once its form is answered."""

from __future__ import annotations

import pytest
from django.urls import reverse

from runs.control import stops
from runs.domain.actor import Actor
from runs.maintenance.sweep import sweep
from runs.models import Intervention
from tests.engine import drain
from tests.flows import begun, published, the_run
from tests.runs.control.test_terminate import stuck
from tests.runs.doors import admin
from tests.runs.engine.test_engine_stops import overdue

pytestmark = pytest.mark.django_db(transaction=True)

NAP = "name: nap\nsteps: [{id: a, action: sleep, with: {seconds: 0}}]"


def test_a_retry_that_wins_nothing_says_why_on_the_run_and_not_that_it_is_retried() -> None:
    [run_id] = begun(published("name: late\ntimeout: 1m\nsteps: [{id: a, action: wait, with: {for: 1h}}]"))
    drain()
    overdue(run_id)
    sweep()
    client, address = admin(), reverse("admin:runs_run_retry", args=[run_id])
    assert client.get(address).status_code == 200
    told = client.post(address, {"why": "again"}, follow=True).content.decode()
    assert "Nothing was changed: the run failed by its own timeout" in told
    assert "The run is retried." not in told
    assert not Intervention.objects.filter(verb="retry").exists()


def test_the_page_of_a_verb_that_is_not_legal_leads_back_to_the_run_and_says_why() -> None:
    run_id = stuck()
    stops.terminate([run_id], actor=Actor())
    told = admin().get(reverse("admin:runs_run_retry", args=[run_id]), follow=True).content.decode()
    assert "Nothing was changed: the run was terminated" in told


def test_a_workflow_without_runs_is_paused_and_resumed_all_the_same() -> None:
    [run_id] = begun(published(NAP), {})
    stops.cancel([run_id], actor=Actor())
    workflow = the_run(run_id).workflow
    client = admin()
    for verb, said, paused in (
        ("pause", "The workflow is paused; 0 runs were held.", True),
        ("resume", "The workflow is resumed; 0 runs were let go.", False),
    ):
        address = reverse(f"admin:runs_workflow_{verb}", args=[workflow.pk])
        assert said in client.post(address, {"why": ""}, follow=True).content.decode()
        workflow.refresh_from_db()
        assert (workflow.paused_at is not None) == paused
