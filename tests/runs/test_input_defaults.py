"""Whichever way a run is started, its input has the defaults of its version's `inputs`, and shows them."""

from __future__ import annotations

import json

import pytest
from django.core.management import call_command

from runs.control import replays
from runs.domain.actor import Actor
from runs.models import Run
from tests.engine import drain
from tests.flows import begun, owner, published, steps, the_run
from tests.runs.doors import api

pytestmark = pytest.mark.django_db(transaction=True)

SIZED = """
name: sized
inputs: {type: object, required: [size], properties: {size: {type: integer, default: 5}, to: {type: string}}}
concurrency: {limit: 9, key: "{{ input.size }}"}
steps:
  - {id: show, action: transform, with: {set: {size: "{{ input.size }}"}}}
"""
PLAIN = "name: sized\ninputs: {type: object}\nsteps: [{id: show, action: default}]"
CALLER = """
name: caller
steps:
  - {id: call, action: sub_workflow, with: {workflow: sized, input: {to: ada}}}
"""


def test_a_single_start_shows_the_defaults_and_its_steps_read_them() -> None:
    published(SIZED)
    status, told = api().post("workflows/sized/runs", {"input": {"to": "ada"}})
    assert status == 201
    drain()
    assert api().get(f"runs/{told['id']}")[1]["input"] == {"to": "ada", "size": 5}
    run = Run.objects.get()
    assert run.gate is not None
    assert run.gate.key == "5"
    assert steps(run.pk)["show"].output == {"size": 5}


def test_a_bulk_start_fills_in_each_line() -> None:
    published(SIZED)
    body = "\n".join(json.dumps({"input": one}) for one in ({}, {"size": 7}, {"size": "x"}))
    status, told = api().post("workflows/sized/runs/bulk", body, content_type="application/x-ndjson")
    assert (status, told["created"], told["refused"]) == (201, 2, 1)
    assert [run.input for run in Run.objects.order_by("id")] == [{"size": 5}, {"size": 7}]


def test_a_command_starts_with_the_defaults() -> None:
    published(SIZED)
    call_command("run_workflow", "sized", "--no-wait")
    assert Run.objects.get().input == {"size": 5}


def test_a_sub_workflow_gets_the_defaults_of_its_own_inputs() -> None:
    published(SIZED)
    [run_id] = begun(published(CALLER))
    drain()
    assert Run.objects.get(parent_id=run_id).input == {"to": "ada", "size": 5}
    assert the_run(run_id).state == "succeeded"


def test_a_replay_gets_the_defaults_of_the_version_that_it_uses() -> None:
    [old] = begun(published(PLAIN), {"to": "ada"})
    drain()
    published(SIZED)
    by = Actor(user_id=owner().pk, reason="again")
    assert the_run(replays.replay(old, actor=by)).input == {"to": "ada"}
    assert the_run(replays.replay(old, latest=True, actor=by)).input == {"to": "ada", "size": 5}
    assert the_run(replays.replay(old, latest=True, given={"to": "bob"}, actor=by)).input == {"to": "bob", "size": 5}
