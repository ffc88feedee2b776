"""The doors of pause and resume: API, admin, commands."""

from __future__ import annotations

from uuid import UUID

import pytest
from django.core.management import call_command
from django.urls import reverse

from runs.models import Intervention, Run
from tests.engine import drain, state
from tests.flows import begun, published, the_run
from tests.runs.doors import admin, api

pytestmark = pytest.mark.django_db(transaction=True)

NAP = "name: nap\nsteps: [{id: a, action: sleep, with: {seconds: 0}}]"
Captured = pytest.CaptureFixture[str]


def live(number: int = 1) -> list[UUID]:
    return begun(published(NAP), *[{}] * number)


def test_a_pause_over_the_api_tells_since_when_by_whom_and_why() -> None:
    [run_id] = live()
    assert api().post(f"runs/{run_id}/pause", {"why": "bank is shut"}) == (
        200,
        {"id": str(run_id), "state": "running"},
    )
    _, run = api().get(f"runs/{run_id}")
    assert (run["pause"]["through"], run["pause"]["by"], run["pause"]["why"]) == ("run", "owner", "bank is shut")
    assert run["pause"]["since"] == run["paused_at"]
    assert api().post(f"runs/{run_id}/resume", {})[0] == 200
    _, run = api().get(f"runs/{run_id}")
    assert (run["pause"], run["paused_at"]) == (None, None)


def test_a_pause_that_is_not_legal_is_a_conflict_with_the_state() -> None:
    [run_id, ended] = live(2)
    api().post(f"runs/{ended}/cancel", {})
    for verb, key, wanted in (("resume", run_id, "not paused"), ("pause", ended, "has not ended")):
        status, problem = api().post(f"runs/{key}/{verb}", {})
        assert (status, problem["state"]) == (409, state(key))
        assert wanted in problem["detail"]
    api().post(f"runs/{run_id}/pause", {})
    status, problem = api().post(f"runs/{run_id}/pause", {})
    assert (status, problem["state"]) == (409, "running")
    assert "paused already" in problem["detail"]
    assert Intervention.objects.filter(verb="pause").count() == 1


def test_many_are_paused_and_resumed_by_ids_or_by_a_filter() -> None:
    first, second, third = live(3)
    status, told = api().post("runs/pause", {"ids": [str(first)]})
    assert (status, told["won"], told["lost"]) == (200, [str(first)], [])
    _, told = api().post("runs/pause", {"filter": {"workflow": "nap"}})
    assert told == {"won": [str(second), str(third)], "lost": [], "more": 0, "notes": []}
    _, told = api().post("runs/pause", {"ids": [str(first)]})
    assert told["lost"] == [{"id": str(first), "state": "running"}]
    assert len(api().get("runs", paused="true")[1]["results"]) == 3
    assert api().get("runs", paused="maybe")[0] == 400
    _, told = api().post("runs/resume", {"filter": {"workflow": "nap"}})
    assert len(told["won"]) == 3
    assert api().get("runs", paused="true")[1]["results"] == []


def test_a_paused_workflow_takes_starts_and_queues_them() -> None:
    live()
    status, told = api().post("workflows/nap/pause", {"why": "deploy"})
    assert (status, told["runs"]) == (200, 1)
    assert api().post("workflows/nap/pause", {})[1] == {**told, "runs": 0}
    status, run = api().post("workflows/nap/runs", {})
    assert (status, run["state"]) == (201, "queued")
    _, workflow = api().get("workflows/nap")
    assert (workflow["pause"]["why"], workflow["paused_at"]) == ("deploy", told["paused_at"])
    _, shown = api().get(f"runs/{run['id']}")
    assert (shown["pause"]["through"], shown["pause"]["why"]) == ("workflow", "deploy")
    assert api().post("workflows/nap/resume", {})[1]["runs"] == 2
    drain()
    assert set(Run.objects.values_list("state", flat=True)) == {"succeeded"}
    assert api("other").post("workflows/nap/pause", {})[0] == 404


def test_the_run_page_pauses_and_resumes_and_says_so() -> None:
    client, [run_id] = admin(), live()
    page = reverse("admin:runs_run_change", args=[run_id])
    pause, resume = (reverse(f"admin:runs_run_{verb}", args=[run_id]) for verb in ("pause", "resume"))
    told = client.get(page).content.decode()
    assert (pause in told, resume in told) == (True, False)
    assert client.get(pause).status_code == 200
    client.post(pause, {"why": "<b>wait</b>"})
    told = client.get(page).content.decode()
    assert (pause in told, resume in told) == (False, True)
    assert "by root: &lt;b&gt;wait&lt;/b&gt;" in told
    assert "Nothing was changed" in client.post(pause, {"why": ""}, follow=True).content.decode()
    client.post(resume, {"why": ""})
    assert the_run(run_id).paused_at is None


def test_the_run_list_pauses_and_resumes_those_that_are_chosen() -> None:
    client, chosen = admin(), live(3)
    address = reverse("admin:runs_run_changelist")
    form = {"_selected_action": [str(run_id) for run_id in chosen[:2]], "index": "0", "select_across": "0"}
    assert "2 runs" in client.post(address, {**form, "action": "pause_chosen"}).content.decode()
    client.post(address, {**form, "action": "pause_chosen", "confirmed": "yes", "why": ""})
    assert Run.objects.filter(paused_at__isnull=False).count() == 2
    listed = client.get(address, {"paused": "yes"}).content.decode()
    assert (str(chosen[0]) in listed, str(chosen[2]) in listed) == (True, False)
    assert "when its run is resumed" in client.get(reverse("admin:runs_ticket_changelist")).content.decode()
    client.post(address, {**form, "action": "resume_chosen", "confirmed": "yes", "why": ""})
    assert not Run.objects.filter(paused_at__isnull=False).exists()


def test_the_workflow_page_pauses_and_resumes_all_its_runs() -> None:
    client, [run_id] = admin(), live()
    key = the_run(run_id).workflow_id
    page = reverse("admin:workflows_workflow_change", args=[key])
    pause, resume = (reverse(f"admin:runs_workflow_{verb}", args=[key]) for verb in ("pause", "resume"))
    assert pause in client.get(page).content.decode()
    assert client.get(pause).status_code == 200
    assert "1 run was held" in client.post(pause, {"why": ""}, follow=True).content.decode()
    told = client.get(page).content.decode()
    assert (pause in told, resume in told) == (False, True)
    assert "1 run was let go" in client.post(resume, {"why": ""}, follow=True).content.decode()


def test_commands_pause_and_resume_runs_and_workflows(capsys: Captured) -> None:
    [run_id] = live()
    call_command("pause_run", str(run_id), "--why", "bank is shut", "--by", "owner")
    call_command("show_run", str(run_id))
    told = capsys.readouterr().out
    assert f"{run_id}  paused" in told
    assert "by owner: bank is shut" in told
    with pytest.raises(SystemExit):
        call_command("pause_run", str(run_id), "--why", "again")
    assert "paused already" in capsys.readouterr().err
    call_command("resume_run", str(run_id), "--why", "open")
    call_command("pause_workflow", "nap", "--why", "deploy")
    assert "nap  paused, 1 run with it" in capsys.readouterr().out
    call_command("show_run", str(run_id))
    assert "its workflow is paused since" in capsys.readouterr().out
    call_command("resume_workflow", "nap", "--why", "deployed")
    assert "nap  resumed, 1 run with it" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        call_command("pause_workflow", "nob", "--why", "x")
    with pytest.raises(SystemExit):
        call_command("pause_run", str(run_id), "--why", "x", "--by", "nobody")
    assert "there is no user 'nobody'" in capsys.readouterr().err
