"""Labels with expressions are rendered from the input, whichever way a run is started."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from runs.control import replays, starts
from runs.domain.actor import Actor
from runs.domain.requests import Request
from runs.models import Run
from tests.engine import drain
from tests.flows import begun, owner, published, the_run
from tests.runs.doors import api
from workflows.definitions.errors import InvalidInput
from workflows.models import Version

pytestmark = pytest.mark.django_db(transaction=True)

LABELLED = """
name: labelled
labels: {team: shop, customer: "{{ input.c }}", of: "{{ c }}/{{ input.n|default(0) }}"}
steps: [{id: a, action: default}]
"""
CALLER = """
name: caller
steps:
  - {id: call, action: sub_workflow, with: {workflow: labelled, input: {c: eve}, labels: {of: given}}}
"""


def labels() -> list[Any]:
    return [run.labels for run in Run.objects.order_by("id")]


def test_a_single_start_renders_them_and_may_give_others() -> None:
    published(LABELLED)
    assert api().post("workflows/labelled/runs", {"input": {"c": "ada"}})[0] == 201
    assert api().post("workflows/labelled/runs", {"input": {"c": "bob", "n": 2}, "labels": {"of": "mine"}})[0] == 201
    assert labels() == [
        {"team": "shop", "customer": "ada", "of": "ada/0"},
        {"team": "shop", "customer": "bob", "of": "mine"},
    ]
    status, told = api().post("workflows/labelled/runs", {"input": {}})
    assert status == 400
    assert told["errors"][0]["path"] == "labels.of"
    found = api().get("runs?label.customer=ada")[1]
    assert len(found["results"]) == 1


def test_a_bulk_start_renders_each_line_in_one_statement_and_refuses_the_lines_that_cannot_be() -> None:
    published(LABELLED)
    lines = [{"input": {"c": f"c{n}"}} for n in range(20)]

    def send(entries: list[Any]) -> tuple[int, Any]:
        body = "\n".join(map(json.dumps, entries))
        return api().post("workflows/labelled/runs/bulk", body, content_type="application/x-ndjson")

    send(lines[:2])
    with CaptureQueriesContext(connection) as few:
        send(lines[:2])
    with CaptureQueriesContext(connection) as many:
        assert send(lines)[1]["created"] == 20
    assert len(many) == len(few)
    assert labels()[-1] == {"team": "shop", "customer": "c19", "of": "c19/0"}
    status, told = send([{"input": {"c": "x"}}, {"input": {}}])
    assert (status, told["created"], told["refused"]) == (201, 1, 1)
    assert (told["refusals"][0]["line"], told["refusals"][0]["path"]) == (2, "labels.of")


def test_a_sub_workflow_renders_them_from_its_own_input() -> None:
    published(LABELLED)
    [run_id] = begun(published(CALLER))
    drain()
    assert Run.objects.get(parent_id=run_id).labels == {"team": "shop", "customer": "eve", "of": "given"}


def test_a_sub_workflow_whose_label_has_no_value_fails_the_step() -> None:
    published(LABELLED)
    [run_id] = begun(published(CALLER.replace("c: eve", "d: eve")))
    drain()
    run = the_run(run_id)
    assert run.state == "failed"
    assert "workflow 'labelled': labels.of: cannot be worked out" in str(run.error)


def test_a_replay_renders_what_its_input_changes_and_keeps_the_labels_of_the_start() -> None:
    [old] = begun(published(LABELLED), {"c": "ada"}, labels={"batch": "7", "of": "mine"})
    drain()
    by = Actor(user_id=owner().pk, reason="again")
    same = replays.replay(old, actor=by)
    assert the_run(same).labels == {"team": "shop", "customer": "ada", "of": "mine", "batch": "7"}
    other = replays.replay(old, given={"c": "bob"}, actor=by)
    assert the_run(other).labels == {"team": "shop", "customer": "bob", "of": "mine", "batch": "7"}
    with pytest.raises(InvalidInput, match=r"labels\.customer"):
        replays.replay(old, given={}, actor=by)


def test_a_label_that_was_stored_before_and_reads_more_than_the_input_stays_as_it_is() -> None:
    found = published("name: before\nsteps: [{id: a, action: default}]")
    definition = {**found.version.definition, "labels": {"run": "{{ run.id }}"}}
    version = Version(workflow=found.workflow, number=9, hash="f" * 64, definition=definition, roots=["a"])
    version.created_by = owner()
    version.save()
    starts.start([Request()], version=version, workflow=found.workflow, source="test")
    assert labels() == [{"run": "{{ run.id }}"}]
