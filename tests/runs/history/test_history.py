"""The timeline of a run: every step of the plan, what it was given, what came of it."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from runs.history import timeline
from runs.planning import plan
from tests.engine import drain
from tests.flows import begun, published, the_run

pytestmark = pytest.mark.django_db(transaction=True)

PICK = """
name: select-email
steps:
  - {id: pick, action: transform, with: {select: [email]}}
  - {id: greet, action: transform, with: {set: {text: "Hello {{ email }}"}}}
"""
BRANCH = """
name: branch
steps:
  - {id: adult, action: condition, with: {expression: "age >= 18"}}
  - {id: yes, needs: [adult], if: "steps.adult.output.result", action: default}
  - {id: no, needs: [adult], if: "not steps.adult.output.result", action: default}
  - {id: after, needs: [yes, no], join: none_failed, action: default}
"""


def test_input_and_config_are_told_though_no_row_stores_them() -> None:
    [run_id] = begun(published(PICK), {"email": "user@example.com", "age": 20})
    drain()
    pick, greet = timeline.timeline(the_run(run_id))
    assert (pick.input, pick.config) == ({"email": "user@example.com", "age": 20}, {"select": ["email"]})
    assert greet.input == {"email": "user@example.com"}
    assert greet.config == {"set": {"text": "Hello user@example.com"}}
    assert greet.output == {"text": "Hello user@example.com"}


def test_steps_without_a_row_are_pending_and_in_topological_order() -> None:
    [run_id] = begun(published(BRANCH), {"age": 20})
    views = timeline.timeline(the_run(run_id))
    assert [view.step for view in views] == ["adult", "yes", "no", "after"]
    assert {view.state for view in views} == {"pending"}
    assert {(view.attempt, view.input, view.config) for view in views} == {(0, None, None)}


def test_a_skipped_step_has_neither_input_nor_attempt() -> None:
    [run_id] = begun(published(BRANCH), {"age": 20})
    drain()
    views = {view.step: view for view in timeline.timeline(the_run(run_id))}
    assert views["no"].state == "skipped"
    assert (views["no"].attempt, views["no"].input, views["no"].config) == (0, None, None)
    assert views["after"].input == {"yes": views["yes"].output}


def test_an_effectful_step_whose_condition_is_false_is_skipped_and_the_run_succeeds() -> None:
    mail = BRANCH.replace('result", action: default', 'result", action: notify, with: {channel: mail}')
    [run_id] = begun(published(mail), {"age": 20})
    drain()
    run = the_run(run_id)
    assert run.state == "succeeded"
    assert {view.step: view.state for view in timeline.timeline(run)}["no"] == "skipped"


def test_a_config_that_cannot_be_rendered_leaves_the_other_steps_readable() -> None:
    [run_id] = begun(published(PICK), {"age": 20})
    drain()
    pick, greet = timeline.timeline(the_run(run_id))
    assert pick.state == "failed"
    assert "email" in str(pick.error)
    assert (greet.state, greet.config) == ("skipped", None) or greet.state == "pending"


def test_a_timeline_costs_one_query_once_the_plan_is_known() -> None:
    [run_id] = begun(published(PICK), {"email": "e"})
    drain()
    run = the_run(run_id)
    plan.load(run.version_id)
    with CaptureQueriesContext(connection) as queries:
        timeline.timeline(run)
    assert len(queries) == 1


def test_the_latest_run_of_many_workflows_costs_one_query() -> None:
    first, second = published(PICK), published(BRANCH)
    begun(first, {"email": "a"})
    [newest] = begun(first, {"email": "b"})
    with CaptureQueriesContext(connection) as queries:
        found = timeline.latest([first.workflow.pk, second.workflow.pk])
    assert {key: run.pk for key, run in found.items()} == {first.workflow.pk: newest}
    assert len(queries) == 1
