"""Archive, restore and delete: no new runs, a free name, nothing lost, and a reason whenever it is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.core.management import call_command
from django.db import OperationalError
from django.test import Client

from runs.control import archives, replays, starts
from runs.control.archives import CannotArchive
from runs.control.replays import NotNow
from runs.domain.actor import Actor
from runs.domain.requests import Request
from runs.models import Run, WorkflowIntervention
from tests.engine import drain
from tests.flows import begun, owner, published, the_run, workspace
from tests.runs.doors import Answer, Api, admin, api
from workflows.definitions.errors import DefinitionError
from workflows.models import Version, Workflow
from workflows.publishing.publish import publish_draft

pytestmark = pytest.mark.django_db(transaction=True)

QUICK = "name: quick\nsteps: [{id: a, action: default}]"
CALL = "action: sub_workflow, with: {workflow: quick}"
FAILS = f"name: calls\nsteps: [{{id: a, {CALL}}}]"


def actor() -> Actor:
    return Actor(owner().pk, "tidy")


def archived(text: str = QUICK) -> Workflow:
    workflow = published(text).workflow
    archives.archive(workflow, actor=actor())
    return Workflow.objects.get(pk=workflow.pk)


STARTS: dict[str, Callable[[Api, Workflow], Answer]] = {
    "by id": lambda door, one: door.post(f"workflows/{one.pk}/runs", {"input": {}}),
    "in bulk": lambda door, one: door.post(f"workflows/{one.pk}/runs/bulk", [{"input": {}}]),
    "by its old name": lambda door, _: door.post("workflows/quick/runs", {"input": {}}),
}


@pytest.mark.parametrize("way", STARTS)
def test_an_archived_workflow_takes_no_new_runs(way: str) -> None:
    found, door = published(QUICK), api()
    for known in ("by its old name", "by id"):
        assert STARTS[known](door, found.workflow)[0] == 201, "the caches of the quick start know it from now on"
    archives.archive(found.workflow, actor=actor())
    before = Run.objects.count()
    status, told = STARTS[way](door, found.workflow)
    assert status == (404 if way == "by its old name" else 409)
    assert status == 404 or "is archived; restore it first" in told["detail"]
    assert Run.objects.count() == before


def test_a_start_that_was_read_before_the_archiving_starts_nothing() -> None:
    found = published(QUICK)
    archives.archive(found.workflow, actor=actor())
    with pytest.raises(OperationalError):
        starts.start([Request({})], version=found.version, workflow=found.workflow, source="test")
    assert not Run.objects.exists()


def test_runs_that_have_begun_go_on_and_are_kept_but_not_replayed() -> None:
    [run_id] = begun(found := published(QUICK))
    archives.archive(found.workflow, actor=actor())
    drain()
    assert the_run(run_id).state == "succeeded"
    with pytest.raises(NotNow, match="is archived; restore it first"):
        replays.replay(run_id, actor=actor())


@pytest.mark.parametrize("said", ["quick", None], ids=["by name", "by id"])
def test_a_step_that_starts_an_archived_workflow_fails(said: str | None) -> None:
    workflow = published(QUICK).workflow
    [run_id] = begun(published(FAILS.replace("quick", said or str(workflow.pk))))
    archives.archive(workflow, actor=actor())
    drain()
    assert the_run(run_id).state == "failed"


def test_its_name_is_free_and_both_are_found() -> None:
    old = archived()
    new = published(QUICK).workflow
    assert new.pk != old.pk
    door = api()
    assert door.get("workflows/quick")[1]["id"] == str(new.pk)
    assert door.get(f"workflows/{old.pk}")[1]["archived_at"] is not None
    assert [one["id"] for one in door.get("workflows")[1]["results"]] == [str(new.pk)]
    assert [one["id"] for one in door.get("workflows", archived="true")[1]["results"]] == [str(old.pk)]
    assert door.get("workflows", archived="maybe")[0] == 400
    with pytest.raises(CannotArchive, match="rename or archive that one first"):
        archives.restore(old, actor=actor())
    archives.archive(new, actor=actor())
    archives.restore(old, actor=actor())
    assert door.get("workflows/quick")[1]["id"] == str(old.pk)
    assert door.post("workflows/quick/runs", {"input": {}})[0] == 201


def test_a_second_call_changes_nothing_and_the_history_says_who() -> None:
    workflow = archived()
    archives.archive(workflow, actor=actor())
    archives.restore(workflow, actor=actor())
    archives.restore(workflow, actor=actor())
    told = WorkflowIntervention.objects.filter(workflow=workflow).order_by("id")
    assert [(one.verb, one.why) for one in told] == [("archive", "tidy"), ("restore", "tidy")]


def test_an_archived_draft_is_not_published() -> None:
    with pytest.raises(DefinitionError, match="restore it before you publish"):
        publish_draft(archived(), by=owner())


def test_a_workflow_without_runs_is_deleted_with_its_versions() -> None:
    found = published(QUICK)
    published(QUICK.replace("default", "transform, with: {set: {x: 1}}"))
    archives.archive(found.workflow, actor=actor())
    archives.delete(found.workflow, actor=actor())
    assert not Workflow.objects.filter(pk=found.workflow.pk).exists()
    assert not Version.objects.filter(workflow=found.workflow.pk).exists()
    assert published(QUICK).workflow_created


def test_a_workflow_with_kept_runs_is_not_deleted() -> None:
    [run_id] = begun(found := published(QUICK))
    drain()
    with pytest.raises(CannotArchive, match="prune_runs"):
        archives.delete(found.workflow, actor=actor())
    status, _ = api().post(f"workflows/{found.workflow.pk}/delete", {})
    assert (status, Run.objects.filter(pk=run_id).exists()) == (409, True)
    Run.objects.all().delete()
    assert api().post(f"workflows/{found.workflow.pk}/delete", {"why": "gone"})[0] == 200


def test_an_alert_workflow_stays_until_another_is_chosen() -> None:
    workflow = published(QUICK).workflow
    here = workspace()
    here.alert_workflow = workflow
    here.save()
    for verb in (archives.archive, archives.delete):
        with pytest.raises(CannotArchive, match="alert workflow of its workspace"):
            verb(workflow, actor=actor())


@pytest.mark.parametrize(
    "text",
    [
        FAILS,
        f"name: calls\nsteps: [{{id: b, action: default}}]\non_failure: [{{id: a, {CALL}}}]",
        f"name: calls\nsteps: [{{id: b, action: default}}]\nfinally: [{{id: a, {CALL}}}]",
        f"name: calls\nsteps: [{{id: b, action: default, compensate: {{{CALL}}}}}]",
    ],
    ids=["steps", "on_failure", "finally", "compensate"],
)
def test_whoever_starts_it_is_named_and_a_publish_without_it_warns(text: str) -> None:
    [warning] = published(text).warnings
    assert "has no workflow 'quick' now" in warning
    assert ".with.workflow: " in warning
    workflow = published(QUICK).workflow
    assert published(text + "\n").warnings == ()
    assert "It is started by 'calls'" in archives.archive(workflow, actor=actor())
    [again] = published(text.replace("calls", "others")).warnings
    assert "has no workflow 'quick' now" in again


def test_a_publish_warns_of_no_workflow_that_only_the_run_knows_or_that_is_there() -> None:
    other = published(QUICK).workflow
    for said in ("'{{ input.x }}'", "quick", str(other.pk), "itself"):
        text = f"name: itself\nsteps: [{{id: a, action: sub_workflow, with: {{workflow: {said}}}}}]"
        assert published(text).warnings == ()


def test_the_commands_find_an_archived_workflow_by_its_old_name(capsys: pytest.CaptureFixture[str]) -> None:
    published(QUICK)
    call_command("archive_workflow", "quick", "--why", "old")
    call_command("restore_workflow", "quick", "--why", "needed")
    call_command("delete_workflow", "quick", "--why", "old", "--yes")
    assert not Workflow.objects.filter(name="quick").exists()
    said = capsys.readouterr().out
    assert "quick is archived; its name is free." in said
    assert "quick is deleted" in said
    with pytest.raises(SystemExit) as left:
        call_command("archive_workflow", "quick", "--why", "old")
    assert left.value.code == 2


def test_the_admin_hides_restores_and_deletes() -> None:
    client: Client = admin()
    workflow = published(QUICK).workflow
    page, listed = f"/admin/workflows/workflow/{workflow.pk}/change/", "/admin/workflows/workflow/"
    of = f"/admin/runs/run/of/{workflow.pk}"
    assert f"{of}/archive/" in client.get(page).content.decode()
    assert "quick" in client.get(f"{of}/archive/").content.decode()
    assert "is archived" in client.post(f"{of}/archive/", {"why": "old"}, follow=True).content.decode()
    assert page not in client.get(listed).content.decode()
    assert page in client.get(f"{listed}?archived=yes").content.decode()
    shown = client.get(page).content.decode()
    assert f"{of}/restore/" in shown
    assert "Start a run" not in shown
    refused = client.post(f"/admin/runs/run/start/{workflow.pk}/", {"input": "{}"}).content.decode()
    assert "is archived; restore it first" in refused
    client.post(f"{of}/restore/", {"why": ""})
    assert page in client.get(listed).content.decode()
    answer = client.post(f"{of}/delete/", {"why": ""}, follow=True).content.decode()
    assert "quick is deleted" in answer
    assert not Workflow.objects.filter(pk=workflow.pk).exists()
