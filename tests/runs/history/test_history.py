"""The timeline of a run: every step of the plan, what it was given, what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from io import StringIO
from typing import Any
from uuid import UUID

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from runs.control import stops
from runs.domain.actor import Actor
from runs.engine import stopping
from runs.history import timeline
from runs.models import Run, StepRun
from runs.planning import plan
from tests.engine import drain
from tests.flows import begun, published, queued, the_run
from tests.runs.doors import admin, api

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


NAPS = """
name: naps
steps:
  - {id: nap, action: wait, with: {for: 1h}}
  - {id: after, action: default}
  - {id: last, action: default}
"""


def cancelled(run_id: UUID) -> None:
    stops.cancel([run_id], actor=Actor())


def terminated(run_id: UUID) -> None:
    stops.terminate([run_id], actor=Actor())


def timed_out(run_id: UUID) -> None:
    Run.objects.filter(pk=run_id).update(deadline=Now())
    stopping.time_out([run_id])


@pytest.mark.parametrize(
    ("stop", "kind", "begun_before"),
    [
        (cancelled, "run_cancelled", True),
        (terminated, "run_terminated", True),
        (timed_out, "run_timed_out", True),
        # A queued run has no deadline, and a terminate of it is a cancel: nothing of it was to follow.
        (cancelled, "run_cancelled", False),
        (terminated, "run_cancelled", False),
    ],
)
def test_steps_that_a_stopped_run_never_began_are_skipped_for_that_reason(
    stop: Callable[[UUID], None], kind: str, *, begun_before: bool
) -> None:
    flow = published(NAPS)
    [run_id] = begun(flow) if begun_before else queued(flow)
    if begun_before:
        drain()
    before = {view.step: view.state for view in timeline.timeline(the_run(run_id))}
    assert (before["after"], before["last"]) == ("pending", "pending")
    stop(run_id)
    views = {view.step: view for view in timeline.timeline(the_run(run_id))}
    for name in ("after", "last") if begun_before else ("nap", "after", "last"):
        assert views[name].state == "skipped"
        error = views[name].error
        assert isinstance(error, dict)
        assert error["kind"] == kind
    assert "pending" not in {step["state"] for step in api().get(f"runs/{run_id}")[1]["steps"]}
    assert "pending" not in admin().get(reverse("admin:runs_run_change", args=[run_id])).content.decode()
    told = StringIO()
    call_command("show_run", str(run_id), stdout=told)
    assert "pending" not in told.getvalue()
    assert kind in told.getvalue()
    assert StepRun.objects.filter(run_id=run_id).count() == begun_before, "no row is written for them"


def test_a_step_that_a_failure_elsewhere_prevented_names_the_failed_step() -> None:
    text = """
name: two-branches
steps:
  - {id: bad, action: fail, with: {message: no}, retry: none}
  - {id: nap, needs: [], action: wait, with: {for: 1h}}
  - {id: after, needs: [nap], action: default}
finally:
  - {id: hold, action: wait, with: {for: 1h}}
"""
    [run_id] = begun(published(text))
    drain()
    stops.cancel([run_id], actor=Actor())
    drain()
    views = {view.step: view for view in timeline.timeline(the_run(run_id))}
    assert the_run(run_id).finished_at is None, "finally is still to be done"
    assert (views["after"].state, views["hold"].state) == ("skipped", "waiting")
    stops.terminate([run_id], actor=Actor())
    assert {view.state for view in timeline.timeline(the_run(run_id))} == {"failed", "cancelled", "skipped"}


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


BOMB = "{{ rows|sort|reverse|sort|reverse|sort|length }}"
DEAR = "name: dear\nsteps:\n" + "".join(
    f"  - {{id: s{number}, action: transform, with: {{set: {{n: {BOMB!r}}}}}}}\n" for number in range(12)
)


def test_what_a_killed_attempt_had_is_not_computed_for_a_page() -> None:
    [run_id] = begun(published(PICK), {"email": "e"})
    drain()
    for outcome in ("lost", "timed_out"):
        killed: list[Any] = [
            {"number": 1, "outcome": outcome, "error": {"kind": "lost", "message": "its process died"}}
        ]
        StepRun.objects.filter(run_id=run_id, step="greet").update(attempts=killed, config=None, error=None)
        pick, greet = timeline.timeline(the_run(run_id))
        assert (pick.config, pick.not_kept) == ({"select": ["email"]}, ())
        assert (greet.input, greet.config, greet.not_kept) == ({"email": "e"}, None, ("config",))
    _, told = api().get(f"runs/{run_id}")
    assert [step["not_kept"] for step in told["steps"]] == [[], ["config"]]
    page = admin().get(reverse("admin:runs_run_change", args=[run_id])).content.decode()
    assert page.count("not kept: its attempt was killed before it could record it") == 1
    given: list[Any] = [{"number": 1, "outcome": "failed", "error": {"kind": "error", "message": "no"}}]
    StepRun.objects.filter(run_id=run_id, step="greet").update(attempts=given)
    assert timeline.timeline(the_run(run_id))[1].config == {"set": {"text": "Hello e"}}


def test_all_that_a_page_computes_takes_little_processor_time() -> None:
    [run_id] = begun(published(DEAR), {"rows": [f"row {number:06}" for number in range(5_000, 0, -1)]})
    drain()
    run = the_run(run_id)
    assert run.state == "succeeded"
    StepRun.objects.filter(run_id=run_id).update(config=None)
    began = time.thread_time()
    views = timeline.timeline(run)
    assert time.thread_time() - began < 1
    assert views[-1].not_kept == ("config",)
    assert {view.not_kept for view in views} <= {(), ("config",)}


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
