"""The examples do what they say, with the inputs that lie beside them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import User

from runs.control import approvals, signals, starts
from runs.control.approvals import Decision
from runs.control.signals import Message
from runs.domain import requests
from runs.domain.actor import Actor
from runs.engine import lease
from runs.models import Run, StepRun
from tests.engine import drain
from workflows.formats import parse
from workflows.models import Workspace
from workflows.publishing.inputs import check_input
from workflows.publishing.publish import publish

EXAMPLES = Path(__file__).parents[2] / "examples"
# The others take a second or more on purpose; they run through real workers in tests/e2e.
AT_ONCE = [
    "select-email",
    "one-at-a-time",
    "data-pipeline",
    "if-else",
    "fan-out",
    "order-intake",
    "alert",
    "trip",
    "for-each",
]


@pytest.fixture(autouse=True)
def _no_lease_is_left() -> Iterator[None]:
    yield
    lease.give_up()


def run_example(name: str, *, workspace: Workspace, owner: User, **other: object) -> Run:
    published = publish(
        parse.load(EXAMPLES.joinpath(f"{name}.yaml").read_bytes()).document, workspace=workspace, owner=owner
    )
    beside = EXAMPLES / "inputs" / f"{name}.json"
    given = {**(json.loads(beside.read_bytes()) if beside.exists() else {}), **other}
    check_input(published.version, given)
    [started] = starts.start(
        [requests.Request(given)], version=published.version, workflow=published.workflow, source="test"
    )
    drain()
    return Run.objects.get(pk=started.run_id)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", AT_ONCE)
def test_it_runs_to_its_end(name: str, workspace: Workspace, owner: User) -> None:
    run = run_example(name, workspace=workspace, owner=owner)
    assert (run.state, run.error) == ("succeeded", None)


@pytest.mark.django_db(transaction=True)
def test_only_one_side_of_the_diamond_runs(workspace: Workspace, owner: User) -> None:
    run = run_example("if-else", workspace=workspace, owner=owner)
    states = dict(StepRun.objects.filter(run=run).values_list("step", "state"))
    assert states == {"check": "succeeded", "adult": "succeeded", "minor": "skipped", "greet": "succeeded"}
    assert run.output == {"result": True}


@pytest.mark.django_db(transaction=True)
def test_the_order_is_taken_in(workspace: Workspace, owner: User) -> None:
    run = run_example("order-intake", workspace=workspace, owner=owner)
    assert run.output == {"email": "orders@example.com", "pieces": 80}


@pytest.mark.django_db(transaction=True)
def test_lines_that_cannot_be_priced_hold_up_no_other(workspace: Workspace, owner: User) -> None:
    run = run_example("for-each", workspace=workspace, owner=owner)
    assert run.output == {"priced": 2, "failed": 1, "skipped": 1}
    [line] = StepRun.objects.filter(run=run, step="price", item__gte=0, state="failed")
    assert line.item == 1
    assert line.error is not None
    assert "price" in line.error["message"]


@pytest.mark.django_db(transaction=True)
def test_each_order_of_the_day_is_a_run_of_its_own(workspace: Workspace, owner: User) -> None:
    run_example("order-intake", workspace=workspace, owner=owner)
    run = run_example("sub-workflow", workspace=workspace, owner=owner)
    assert (run.state, run.output) == ("succeeded", {"orders": 2, "pieces": 92})
    orders = Run.objects.filter(parent=run, workflow__name="order-intake", labels__day="2026-03-02")
    assert list(orders.values_list("state", flat=True)) == ["succeeded", "succeeded"]


@pytest.mark.django_db(transaction=True)
def test_a_trip_that_cannot_be_paid_is_given_back(workspace: Workspace, owner: User) -> None:
    run = run_example("trip", workspace=workspace, owner=owner, money=200)
    assert run.state == "compensated"
    done = StepRun.objects.filter(run=run, state="succeeded").order_by("id")
    told = [row.output["text"] for row in done if row.output and "text" in row.output]
    assert told == [
        "free the room 7",
        "give back the ticket F-1204",
        "200 does not suffice for the trip",
        "the trip has failed",
    ]


@pytest.mark.django_db(transaction=True)
def test_the_refund_waits_for_a_person_and_for_the_bank(workspace: Workspace, owner: User) -> None:
    run = run_example("approval", workspace=workspace, owner=owner)
    assert run.state == "waiting"
    approvals.decide([(run.pk, "ask", -1)], decision=Decision(True, by="ada"), actor=Actor())
    drain()
    paid = Message("bank.paid", {"reference": "R-1"})
    signals.send_by_key("4711", workspace_id=workspace.pk, message=paid, actor=Actor())
    drain()
    run.refresh_from_db()
    assert (run.state, run.output) == ("succeeded", {"reference": "R-1"})
