"""No address of the API shows or changes anything of another workspace, whatever ids it is given."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern

from runs.api.urls import urlpatterns
from runs.models import DeadLetter, Intervention, Run, Signal, StepRun
from tests.engine import drain, state
from tests.flows import begun, published
from tests.runs.api.test_api_signals import asking
from tests.runs.control.test_signals import waits
from tests.runs.doors import api
from tests.workflows.credentials.test_store import made
from workflows.models import Credential

pytestmark = pytest.mark.django_db(transaction=True)

# A body for every POST that needs one, so that it is not the body that is refused.
BODIES: dict[str, Any] = {
    "signals": {"name": "paid"},
    "runs": {"input": {}},
    "approve": {"comment": "x"},
    "reject": {"comment": "x"},
}


@pytest.fixture
def theirs() -> dict[str, str]:
    """Ids in the default workspace, by the first word of the addresses that take them."""
    [failed] = begun(published("name: theirs\nsteps: [{id: a, action: fail}]"))
    _, job = api().post("jobs", {"type": "default"})
    drain()
    return {
        "runs": str(failed),
        "workflows": str(Run.objects.get(pk=failed).workflow_id),
        "jobs": job["id"],
        "dead-letters": str(DeadLetter.objects.get(run_id=failed).pk),
        "credentials": made("theirs").name,
    }


def addresses() -> Iterator[str]:
    """Every address that takes an id of a workspace, as a pattern. Actions are of no workspace."""
    for pattern in urlpatterns:
        path = str(pattern.pattern)
        if isinstance(pattern, URLPattern) and "key>" in path and not path.startswith("actions/"):
            yield path.replace("<path:", "<").replace("<str:", "<")


def stand() -> list[Any]:
    """Everything that a verb would change."""
    return [
        list(Run.objects.order_by("id").values_list("id", "state", "paused_at")),
        list(StepRun.objects.order_by("id").values_list("id", "state")),
        list(DeadLetter.objects.order_by("id").values_list("id", "state")),
        list(Credential.objects.values_list("id", "changed_at")),
        Intervention.objects.count(),
        Signal.objects.count(),
    ]


def test_every_address_with_an_id_of_another_workspace_answers_404(theirs: dict[str, str]) -> None:
    stranger, before, asked = api("stranger"), stand(), 0
    for pattern in addresses():
        kind, verb = pattern.split("/")[0], pattern.split("/")[-1]
        path = pattern.replace("<key>", theirs[kind]).replace("<step>", "a")
        read, _ = stranger.get(path)
        written, told = stranger.post(path, BODIES.get(verb, {"why": "x"}))
        # Whoever may not change credentials at all is told that, whatever the name.
        assert {read, written} <= {404, 405, *([403] if kind == "credentials" else [])}, (path, read, written, told)
        assert 404 in (read, written), path
        asked += 1
    assert asked >= 19
    assert stand() == before


def test_the_same_ids_are_found_by_those_whose_they_are(theirs: dict[str, str]) -> None:
    for kind, key in theirs.items():
        assert api().get(f"{kind}/{key}")[0] == 200


@pytest.mark.parametrize("verb", ["cancel", "terminate", "pause", "resume", "retry"])
def test_verbs_over_many_runs_do_not_reach_those_of_another_workspace(theirs: dict[str, str], verb: str) -> None:
    stranger, before = api("stranger"), stand()
    ids = [theirs["runs"], theirs["jobs"]]
    status, told = stranger.post(f"runs/{verb}", {"ids": ids})
    assert (status, told["won"], {one["state"] for one in told["lost"]}) == (200, [], {"unknown"})
    assert stranger.post(f"runs/{verb}", {"filter": {"workflow": "theirs"}})[1]["won"] == []
    assert stranger.post(f"runs/{verb}", {"filter": {"workflow": theirs["workflows"]}})[1]["won"] == []
    assert stand() == before


@pytest.mark.parametrize("verb", ["retry", "discard"])
def test_verbs_over_many_dead_letters_do_not_reach_those_of_another_workspace(
    theirs: dict[str, str], verb: str
) -> None:
    stranger, before = api("stranger"), stand()
    status, told = stranger.post(f"dead-letters/{verb}", {"ids": [theirs["dead-letters"]], "why": "x"})
    assert (status, told["won"], told["lost"][0]["state"]) == (200, [], "unknown")
    assert stranger.post(f"dead-letters/{verb}", {"filter": {"run": theirs["runs"]}, "why": "x"})[1]["won"] == []
    assert stand() == before


def test_lists_and_figures_show_nothing_of_another_workspace(theirs: dict[str, str]) -> None:
    asking()
    stranger = api("stranger")
    for path in ("runs", "workflows", "jobs", "dead-letters", "approvals"):
        assert api().get(path)[1]["results"], path
        assert stranger.get(path)[1]["results"] == [], path
    for path in ("runs", "dead-letters", "approvals"):
        assert stranger.get(path, workflow=theirs["workflows"])[1]["results"] == [], path
    for path in ("dead-letters", "approvals"):
        assert stranger.get(path, run=theirs["runs"])[1]["results"] == [], path
    answer = Client().get("/metrics", headers={"Authorization": f"Bearer {stranger.token}"})
    figures = [line for line in answer.content.decode().splitlines() if not line.startswith("#")]
    assert all(line.endswith(" 0.0") for line in figures), figures
    assert "theirs" not in answer.content.decode()


def test_a_signal_by_key_wakes_nobody_in_another_workspace() -> None:
    [run_id] = waits(key="7")
    status, told = api("stranger").post("signals", {"name": "paid", "key": "7"})
    assert (status, told["signals"][0]["run"]) == (201, None)
    drain()
    assert state(run_id) == "waiting"


def test_a_sub_workflow_of_another_workspace_is_not_known(theirs: dict[str, str]) -> None:
    call = {"id": "call", "action": "sub_workflow", "with": {"workflow": theirs["workflows"]}}
    stranger = api("stranger")
    assert stranger.post("workflows", {"name": "calls", "steps": [call]})[0] == 201
    _, run = stranger.post("workflows/calls/runs", {"input": {}})
    drain()
    _, told = stranger.get(f"runs/{run['id']}")
    assert (told["state"], "this workspace has no workflow" in told["error"]["message"]) == ("failed", True)
