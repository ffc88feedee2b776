"""Somebody is told of dead letters as they arrive: by the workspace's alert workflow, and by /metrics."""

from __future__ import annotations

import pytest
from django.core.management import call_command
from django.test import Client

from runs.control import dead_letters
from runs.domain import actor
from runs.maintenance import alerts
from runs.maintenance.sweep import sweep
from runs.models import DeadLetter, Run
from tests.engine import drain
from tests.flows import begun, published, steps, workspace
from tests.runs.doors import admin, api
from workflows.publishing.publish import Published

pytestmark = pytest.mark.django_db(transaction=True)

BROKEN = "name: broken\nlabels: {team: shop}\nsteps: [{id: a, action: fail, with: {message: no such shop}}]"
ALERT = """
name: alert
steps:
  - id: tell
    action: notify
    with: {channel: ops, text: "{{ input.workflow }} {{ input.step }} {{ input.error.message }}"}
"""


def alerting(text: str = ALERT) -> Published:
    """A workflow that the workspace starts for every dead letter."""
    found = published(text)
    found.workflow.workspace.alert_workflow = found.workflow
    found.workflow.workspace.save()
    return found


def told(found: Published) -> list[Run]:
    return list(Run.objects.filter(workflow=found.workflow).order_by("id"))


def test_a_dead_letter_starts_the_alert_workflow_with_what_happened() -> None:
    alert = alerting()
    [run_id] = begun(published(BROKEN))
    drain()
    dead_letter = DeadLetter.objects.get(run_id=run_id)
    [run] = told(alert)
    assert (run.state, run.source) == ("succeeded", "alert")
    assert run.input["dead_letter"] == str(dead_letter.pk)
    assert (run.input["workflow"], run.input["run"]) == ("broken", str(run_id))
    assert (run.input["reason"], run.input["labels"], run.input["item"]) == ("failed", {"team": "shop"}, None)
    assert steps(run.pk)["tell"].output == {"channel": "ops", "text": "broken a no such shop"}


def test_the_sweep_tells_once_for_each_letter() -> None:
    alert = alerting()
    begun(published(BROKEN), {}, {})
    drain()
    sweep()
    drain()
    assert len(told(alert)) == 2
    assert not DeadLetter.objects.filter(alert_due=True).exists()


def test_a_sweep_that_died_after_the_start_tells_nobody_twice() -> None:
    alert = alerting()
    begun(published(BROKEN))
    drain()
    DeadLetter.objects.update(alert_due=True)
    assert alerts.send() == 1
    assert len(told(alert)) == 1


def test_an_alert_that_fails_itself_raises_no_alert() -> None:
    alert = alerting("name: alert\nsteps: [{id: tell, action: fail}]")
    begun(published(BROKEN))
    drain()
    assert [run.state for run in told(alert)] == ["failed"]
    assert DeadLetter.objects.count() == 2


def test_an_alert_workflow_that_refuses_its_input_holds_nothing_up() -> None:
    alert = alerting("name: alert\ninputs: {required: [gone]}\nsteps: [{id: tell, action: notify, with: {channel: x}}]")
    begun(published(BROKEN))
    drain()
    assert told(alert) == []
    assert not DeadLetter.objects.filter(alert_due=True).exists()


def test_an_alert_workflow_whose_concurrency_key_the_input_does_not_give_holds_nothing_up() -> None:
    alert = alerting(ALERT + 'concurrency: {limit: 1, key: "{{ input.customer.id }}"}')
    begun(published(BROKEN))
    drain()
    sweep()
    assert told(alert) == []
    assert not DeadLetter.objects.filter(alert_due=True).exists()


def test_an_alert_that_fails_in_a_sub_workflow_raises_no_alert_either() -> None:
    published("name: page\nsteps: [{id: call, action: fail}]")
    published("name: team\nsteps: [{id: call, action: sub_workflow, with: {workflow: page}}]")
    alert = alerting("name: alert\nsteps: [{id: tell, action: sub_workflow, with: {workflow: team}}]")
    begun(published(BROKEN))
    drain(rounds=20)
    assert [run.state for run in told(alert)] == ["failed"]
    # One of the run, and one of the alert, at the deepest of its sub-workflows.
    assert DeadLetter.objects.count() == 2
    begun(published("name: page\nsteps: [{id: call, action: fail}]"))
    drain(rounds=20)
    assert len(told(alert)) == 2


def test_without_an_alert_workflow_nothing_is_due() -> None:
    begun(published(BROKEN))
    drain()
    assert DeadLetter.objects.filter(alert_due=False).count() == 1
    alert = alerting()
    DeadLetter.objects.update(alert_due=True)
    workspace().__class__.objects.update(alert_workflow=None)
    assert alerts.send() == 1
    assert told(alert) == []


def test_the_alert_workflow_is_one_of_the_workspace_itself() -> None:
    elsewhere = workspace("elsewhere")
    alert = published(ALERT)
    answer = admin().post(
        f"/admin/workflows/workspace/{elsewhere.pk}/change/",
        {"name": "elsewhere", "alert_workflow": str(alert.workflow.pk)},
    )
    elsewhere.refresh_from_db()
    assert elsewhere.alert_workflow is None
    assert "must be a workflow of this workspace" in answer.content.decode()


def test_a_command_chooses_the_alert_workflow(capsys: pytest.CaptureFixture[str]) -> None:
    alert = published(ALERT)
    call_command("alert_workflow", "alert")
    assert workspace().alert_workflow == alert.workflow
    call_command("alert_workflow", "--none")
    assert workspace().alert_workflow is None
    with pytest.raises(SystemExit):
        call_command("alert_workflow", "alart")
    assert "no workflow 'alart'" in capsys.readouterr().err


def test_metrics_count_live_runs_and_open_dead_letters_of_the_tokens_workspace() -> None:
    begun(published(BROKEN), {}, {})
    drain()
    begun(published("name: parked\nsteps: [{id: a, action: wait, with: {for: 1h}}]"))
    drain()
    begun(published("name: sent\nsteps: [{id: a, action: default}]"))
    dead_letter = DeadLetter.objects.latest("id")
    dead_letters.discard([dead_letter.pk], actor=actor.Actor(reason="seen"))
    mine = metrics("default")
    assert 'stepwise_runs{state="queued",workspace="default"} 0.0' in mine
    assert 'stepwise_runs{state="waiting",workspace="default"} 1.0' in mine
    assert 'stepwise_runs{state="running",workspace="default"} 1.0' in mine
    assert 'stepwise_dead_letters_open{reason="failed",workflow="broken",workspace="default"} 1.0' in mine
    theirs = metrics("elsewhere")
    assert "broken" not in theirs
    assert 'stepwise_runs{state="queued",workspace="elsewhere"} 0.0' in theirs


def test_metrics_are_nobodys_without_a_token() -> None:
    assert Client().get("/metrics").status_code == 401


def metrics(workspace_name: str) -> str:
    answer = Client().get("/metrics", headers={"Authorization": f"Bearer {api(workspace_name).token}"})
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/plain")
    return answer.content.decode()


def test_alerted_letters_are_not_due_again() -> None:
    alerting()
    begun(published(BROKEN))
    drain()
    dead_letter = DeadLetter.objects.get()
    DeadLetter.objects.update(alert_due=True)
    alerts.alerted([dead_letter.pk])
    assert alerts.send() == 0
