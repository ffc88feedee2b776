"""A renamed workflow is still found under its old name, by every door, until another workflow takes that."""

from __future__ import annotations

import pytest
from django.core.management import call_command
from django.test import Client

from runs.control import archives
from runs.domain.actor import Actor
from runs.models import Run
from tests.engine import drain
from tests.flows import begun, published, steps, the_run
from tests.runs.doors import admin, api
from workflows.models import Workflow, WorkflowAlias

pytestmark = pytest.mark.django_db(transaction=True)

QUICK = "name: quick\nsteps: [{id: a, action: default}]"
CALLS = "name: calls\nsteps: [{id: a, action: sub_workflow, with: {workflow: quick}}]"


def rename(workflow: Workflow, name: str) -> str:
    """Rename it as people do, and return the page that they see then."""
    client: Client = admin()
    address = f"/admin/workflows/workflow/{workflow.pk}/change/"
    form = {"owner": workflow.owner_id, "name": name, "description": "", "settings": "{}", "keep_days": ""}
    empty = {f"steps-{key}": "0" for key in ("TOTAL_FORMS", "INITIAL_FORMS", "MIN_NUM_FORMS", "MAX_NUM_FORMS")}
    return client.post(address, {**form, **empty}, follow=True).content.decode()


def renamed(name: str = "fast") -> Workflow:
    workflow = published(QUICK).workflow
    said = rename(workflow, name)
    found = Workflow.objects.get(pk=workflow.pk)
    assert found.name == name, said[-3000:]
    return found


def test_the_old_name_is_said_to_go_on_with_who_uses_it() -> None:
    workflow = published(QUICK).workflow
    published(CALLS)
    said = rename(workflow, "fast")
    assert "goes on meaning &#x27;fast&#x27; until another workflow takes it" in said
    assert "It is used by &#x27;calls&#x27;" in said
    assert "No published workflow uses it" in rename(Workflow.objects.get(pk=workflow.pk), "faster")


@pytest.mark.parametrize("name", ["quick", "fast"])
def test_every_door_finds_it_under_both_names(name: str) -> None:
    workflow, door = renamed(), api()
    assert door.get(f"workflows/{name}")[1]["id"] == str(workflow.pk)
    for _ in range(2):
        assert door.post(f"workflows/{name}/runs", {"input": {}})[0] == 201
    assert door.post(f"workflows/{name}/runs/bulk", [{"input": {}}])[0] == 201
    assert len(door.get("runs", workflow=name)[1]["results"]) == 3
    call_command("run_workflow", name, "--no-wait")
    [run_id] = begun(published(CALLS.replace("quick", name)))
    drain()
    assert (the_run(run_id).state, steps(run_id)["a"].state) == ("succeeded", "succeeded")
    assert Run.objects.filter(workflow=workflow).count() == 5


def test_another_workflow_takes_the_name_and_says_so() -> None:
    old, door = renamed(), api()
    assert door.post("workflows/quick/runs", {"input": {}})[0] == 201
    new = published(QUICK)
    assert new.workflow.pk != old.pk
    assert "workflow 'fast' had the name 'quick', which means this new one from now on" in new.warnings
    status, told = door.post("workflows/quick/runs", {"input": {}})
    assert (status, Run.objects.get(pk=told["id"]).workflow_id) == (201, new.workflow.pk)
    assert not WorkflowAlias.objects.exists()
    archives.archive(new.workflow, actor=Actor(None, "x"))
    assert door.post("workflows/quick/runs", {"input": {}})[0] == 404, "the alias does not come back"


def test_a_rename_back_and_a_restore_take_names_too() -> None:
    workflow = renamed()
    rename(workflow, "quick")
    assert [*WorkflowAlias.objects.values_list("name", flat=True)] == ["fast"]
    archives.archive(workflow, actor=Actor(None, "x"))
    assert api().get("workflows/fast")[0] == 404
    other = published(QUICK.replace("quick", "other")).workflow
    rename(other, "quick")
    rename(Workflow.objects.get(pk=other.pk), "third")
    archives.restore(workflow, actor=Actor(None, "x"))
    assert api().get("workflows/quick")[1]["id"] == str(workflow.pk)
    assert {*WorkflowAlias.objects.values_list("name", flat=True)} == {"fast", "other"}


def test_a_publish_warns_of_an_old_name() -> None:
    renamed()
    [warning] = published(CALLS).warnings
    assert "workflow 'quick' was renamed to 'fast'; write that" in warning


def test_a_name_that_is_taken_is_refused_at_its_field() -> None:
    published(QUICK.replace("quick", "fast"))
    workflow = published(QUICK).workflow
    assert "another workflow of the workspace is named" in rename(workflow, "fast")
    assert Workflow.objects.get(pk=workflow.pk).name == "quick"


def test_the_api_renames_and_shows_the_names_that_a_workflow_had() -> None:
    workflow, door = published(QUICK).workflow, api()
    published(CALLS)
    assert door.get("workflows/quick")[1]["aliases"] == []
    status, told = door.ask("PATCH", "workflows/quick", {"name": "fast"})
    assert (status, told["id"], told["name"], told["aliases"]) == (200, str(workflow.pk), "fast", ["quick"])
    assert "goes on meaning 'fast' until another workflow takes it. It is used by 'calls'." in told["detail"]
    assert door.ask("PATCH", "workflows/quick", {"name": "faster"})[1]["aliases"] == ["fast", "quick"]
    assert door.get("workflows/fast")[1]["name"] == "faster"
    assert (
        "has the name 'faster' already"
        in door.ask("PATCH", f"workflows/{workflow.pk}", {"name": "faster"})[1]["detail"]
    )
    assert door.post("workflows/quick/runs", {"input": {}})[0] == 201


@pytest.mark.parametrize(
    "name", ["", "_own", "a/pause", "a//b", "x" * 101, "tab\there", "0197f0aa-0000-7000-8000-000000000000"]
)
def test_a_name_that_no_workflow_may_have_is_refused_by_a_rename_too(name: str) -> None:
    workflow, door = published(QUICK).workflow, api()
    status, told = door.ask("PATCH", "workflows/quick", {"name": name})
    assert (status, told["errors"][0]["path"]) == (400, "name")
    assert Workflow.objects.get(pk=workflow.pk).name == "quick"


def test_a_rename_to_a_name_that_is_taken_or_of_an_archived_workflow_is_a_conflict() -> None:
    workflow, door = published(QUICK).workflow, api()
    published(CALLS)
    status, told = door.ask("PATCH", "workflows/quick", {"name": "calls"})
    assert (status, "another workflow of this workspace has the name 'calls'" in told["detail"]) == (409, True)
    assert api("theirs").ask("PATCH", f"workflows/{workflow.pk}", {"name": "mine"})[0] == 404
    archives.archive(workflow, actor=Actor(None, "x"))
    status, told = door.ask("PATCH", f"workflows/{workflow.pk}", {"name": "fast"})
    assert (status, "is archived" in told["detail"]) == (409, True)
    assert not WorkflowAlias.objects.exists()
