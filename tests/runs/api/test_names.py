"""Names of workflows that an address could not hold."""

from __future__ import annotations

import re

import pytest

from runs.api import urls
from runs.models import Run
from tests.flows import published
from tests.runs.doors import api, first_error
from workflows.definitions.names import BEHIND_NAMES
from workflows.models import Workflow

pytestmark = pytest.mark.django_db(transaction=True)

ONE = {"steps": [{"id": "a", "action": "default"}]}


@pytest.mark.parametrize(
    "name",
    [
        *(f"a/{ending}" for ending in BEHIND_NAMES),
        "a/b/pause",
        "runs/runs",
        "/a",
        "a/",
        "a//b",
        "/",
        ".",
        "..",
        "a/../b",
        "./a",
        "0197f0aa-7c1e-7f5e-8a00-000000000001",
        "0197F0AA7C1E7F5E8A00000000000001",
    ],
)
def test_a_name_that_is_part_of_an_address_or_lost_in_one_is_refused(name: str) -> None:
    status, problem = api().post("workflows", {"name": name, **ONE})
    assert (status, first_error(problem)[0]) == (400, "name")
    assert not Workflow.objects.exists()


@pytest.mark.parametrize("name", ["pause", "a/paused", "team/select", "runs", "a.b", "...", "a b/ü", "runs/bulk/x"])
def test_any_other_name_is_found_by_its_address(name: str) -> None:
    client = api()
    assert client.post("workflows", {"name": name, **ONE})[0] == 201
    status, shown = client.get(f"workflows/{name}")
    assert (status, shown["name"]) == (200, name)


def test_every_address_behind_a_workflow_s_name_is_refused_as_the_end_of_a_name() -> None:
    behind = [re.fullmatch(r"workflows/<path:key>/(.+)", str(one.pattern)) for one in urls.urlpatterns]
    assert {match[1] for match in behind if match} == set(BEHIND_NAMES)


def test_a_workflow_that_has_such_a_name_already_goes_on_working() -> None:
    found = published("name: old\nsteps:\n  - {id: a, action: default}\n")
    Workflow.objects.update(name="a/pause")
    client = api()
    assert client.get(f"workflows/{found.workflow.pk}")[1]["name"] == "a/pause"
    assert client.post(f"workflows/{found.workflow.pk}/runs", {})[0] == 201
    assert Run.objects.count() == 1
