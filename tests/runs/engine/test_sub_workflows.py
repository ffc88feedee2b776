"""A step starts a run of another workflow, waits for its end or not, and takes its outcome."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from django.conf import LazySettings
from django.core.management import call_command
from django.db import connection
from django.db.models.functions import Now
from django.urls import reverse

from runs.control import retries as interventions
from runs.control import stops
from runs.domain.actor import Actor
from runs.maintenance import invariants, sweep
from runs.models import DeadLetter, Intervention, Run, Ticket
from runs.queries import sub_workflows
from runs.queries.database import run
from tests.engine import deliver, drain, messages, perform, state
from tests.flows import begun, published, states, steps, the_run
from tests.runs.doors import admin, api
from tests.runs.locks import in_thread, locked_run, wait_for_waiter, waiters
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

CHILD = """
name: child
inputs: {type: object, required: [n]}
steps:
  - {id: twice, action: transform, with: {set: {n: "{{ input.n * 2 }}"}}}
"""
PARENT = """
name: parent
steps:
  - {id: call, action: sub_workflow, with: {workflow: child, input: {n: "{{ input.n }}"}}}
  - {id: after, action: transform, with: {set: {seen: "{{ steps.call.output.output.n }}"}}}
"""
SLOW = "name: child\nsteps: [{id: nap, action: wait, with: {for: 1h}}]"
BROKEN = "name: child\nsteps: [{id: bad, action: fail, with: {message: 'no paper'}}]"


def calling(child: str = CHILD, **options: Any) -> UUID:
    published(child)
    [run_id] = begun(published(PARENT), {"n": 21}, **options)
    return run_id


def child_of(run_id: UUID, *, attempt: int = 1) -> Run:
    return Run.objects.get(parent_id=run_id, parent_attempt=attempt)


def test_the_parent_waits_for_its_child_and_goes_on_with_its_output() -> None:
    run_id = calling()
    deliver()
    assert states(run_id) == {"call": "waiting"}
    assert state(run_id) == "waiting"
    drain()
    child = child_of(run_id)
    assert steps(run_id)["call"].output == {"run": str(child.pk), "state": "succeeded", "output": {"n": 42}}
    assert the_run(run_id).output == {"seen": 42}
    assert (child.parent_step, child.parent_item, child.depth, child.source) == ("call", -1, 1, "sub_workflow")


def test_a_delivery_that_ends_a_child_wakes_its_parent_without_a_sweep() -> None:
    run_id = calling()
    deliver()
    deliver()
    assert state(child_of(run_id).pk) == "succeeded"
    assert states(run_id)["call"] == "succeeded"


def test_a_child_that_nobody_waits_for_leaves_its_parent_alone() -> None:
    published(BROKEN)
    flow = published("name: fire\nsteps: [{id: call, action: sub_workflow, with: {workflow: child, wait: false}}]")
    [run_id] = begun(flow, {"n": 1})
    drain()
    child = child_of(run_id)
    assert the_run(run_id).output == {"run": str(child.pk)}
    assert (child.state, child.input) == ("failed", {"n": 1})
    assert state(run_id) == "succeeded"


def test_a_failed_child_fails_the_step_and_says_where_it_failed() -> None:
    run_id = calling(BROKEN)
    drain()
    child = child_of(run_id)
    error = steps(run_id)["call"].error
    assert error is not None
    assert error["kind"] == "sub_workflow"
    assert error["message"] == f"run {child.pk} of workflow 'child' failed at step 'bad': no paper"
    assert error["details"]["run"] == str(child.pk)
    assert state(run_id) == "failed"
    assert error["details"]["dead_letter_run"] == str(child.pk)
    assert list(DeadLetter.objects.values_list("run_id", "step")) == [(child.pk, "bad")]


def test_a_retry_policy_starts_another_child() -> None:
    published(BROKEN)
    flow = published(
        "name: again\nsteps: [{id: call, action: sub_workflow, with: {workflow: child}, "
        "retry: {max_attempts: 2, initial: 0s}, on_error: continue}]"
    )
    [run_id] = begun(flow)
    drain()
    assert Run.objects.filter(parent_id=run_id).count() == 2
    assert state(run_id) == "succeeded"


def test_a_parent_retried_by_hand_starts_a_new_child() -> None:
    run_id = calling(BROKEN)
    drain()
    published(CHILD)
    assert interventions.retry([run_id], actor=Actor())
    drain()
    assert state(run_id) == "succeeded"
    assert child_of(run_id).state == "failed"
    assert child_of(run_id, attempt=2).state == "succeeded"


def test_a_child_retried_by_hand_does_not_touch_the_parent_that_has_failed() -> None:
    run_id = calling(BROKEN)
    drain()
    assert interventions.retry([child_of(run_id).pk], actor=Actor())
    drain()
    assert state(run_id) == "failed"


def test_a_child_retried_before_its_parent_went_on_is_waited_for_again() -> None:
    run_id = calling(BROKEN)
    deliver()
    [message] = messages()
    # The end of the child is committed before its delivery asks for the parent.
    with locked_run(run_id) as other, in_thread(lambda: perform(message)):
        wait_for_waiter()
        assert interventions.retry([child_of(run_id).pk], actor=Actor())
        other.commit()
    assert states(run_id) == {"call": "waiting"}
    assert stops.cancel([run_id], actor=Actor())
    assert child_of(run_id).state == "cancelled"


def test_the_end_of_an_earlier_attempts_child_wakes_nobody() -> None:
    published(BROKEN)
    flow = published(
        "name: again\nsteps: [{id: call, action: sub_workflow, with: {workflow: child}, "
        "retry: {max_attempts: 2, initial: 1h}}]"
    )
    [run_id] = begun(flow)
    drain()
    first = child_of(run_id)
    published(SLOW)
    Ticket.objects.filter(run_id=run_id).update(due_at=Now(), knock_at=Now())
    drain()
    assert (first.state, child_of(run_id, attempt=2).state) == ("failed", "waiting")
    assert interventions.retry([first.pk], actor=Actor())
    drain()
    assert state(first.pk) == "failed"
    assert steps(run_id)["call"].awaits == 1


def test_a_cancel_reaches_the_child_and_its_child() -> None:
    published(SLOW)
    published("name: middle\nsteps: [{id: call, action: sub_workflow, with: {workflow: child}}]")
    [run_id] = begun(published("name: top\nsteps: [{id: call, action: sub_workflow, with: {workflow: middle}}]"))
    drain()
    middle = child_of(run_id)
    assert stops.cancel([run_id], actor=Actor(reason="enough")) == {run_id}
    assert {state(run_id), state(middle.pk), state(child_of(middle.pk).pk)} == {"cancelled"}
    assert Intervention.objects.get(run=middle).why == "enough"


def test_a_cancel_leaves_children_that_nobody_waits_for() -> None:
    published(SLOW)
    flow = published(
        "name: loose\nsteps: [{id: call, action: sub_workflow, with: {workflow: child, wait: false}}, "
        "{id: nap, action: wait, with: {for: 1h}}]"
    )
    [run_id] = begun(flow)
    drain()
    stops.cancel([run_id], actor=Actor())
    assert state(child_of(run_id).pk) == "waiting"


def test_a_cancelled_child_fails_the_step_that_waits_for_it() -> None:
    run_id = calling(SLOW)
    drain()
    child = child_of(run_id)
    stops.cancel([child.pk], actor=Actor())
    drain()
    error = steps(run_id)["call"].error
    assert error is not None
    assert error["message"] == f"run {child.pk} of workflow 'child' was cancelled"


def test_children_that_a_crash_left_behind_a_cancel_are_cancelled_by_the_sweep() -> None:
    run_id = calling(SLOW)
    drain()
    stops.cancel_only([run_id], actor=Actor())
    assert state(child_of(run_id).pk) == "waiting"
    sweep.sweep()
    assert state(child_of(run_id).pk) == "cancelled"
    assert run(sub_workflows.ORPHANS, limit=10) == []


def test_a_child_that_ends_while_its_parent_is_cancelled_wakes_nobody() -> None:
    run_id = calling()
    deliver()
    [message] = messages()
    with locked_run(run_id) as other:
        other.execute("UPDATE runs_steprun SET state = 'cancelled', finished_at = now() WHERE run_id = %s", [run_id])
        other.execute("UPDATE runs_run SET state = 'cancelled', finished_at = now() WHERE id = %s", [run_id])
        with in_thread(lambda: perform(message)):
            wait_for_waiter()
            other.commit()
    assert states(run_id) == {"call": "cancelled"}
    assert state(child_of(run_id).pk) == "succeeded"
    sweep.sweep()
    assert not Ticket.objects.exists()
    assert run(sub_workflows.ORPHANS, limit=10) == []


def test_two_wake_ups_at_once_let_the_parent_go_on_once() -> None:
    run_id = calling()
    deliver()
    [message] = messages()
    # The first is the delivery that ends the child; its end is committed before it asks for the parent.
    with locked_run(run_id) as other, in_thread(lambda: perform(message)), in_thread(_wake_when_due):
        wait_for(lambda: len(waiters()) == 2, what="two wake-ups that wait for the parent")
        other.commit()
    assert Ticket.objects.filter(run_id=run_id, head="after").count() == 1
    drain()
    assert state(run_id) == "succeeded"


def _wake_when_due() -> None:
    wait_for_waiter()
    sweep.wake()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("{workflow: nowhere}", "with.workflow: this workspace has no workflow 'nowhere'"),
        ("{workflow: child, version: 7}", "with.version: workflow 'child' has no version 7"),
        ("{workflow: child, input: {m: 1}}", "with.input"),
    ],
)
def test_what_cannot_be_started_fails_with_its_path(given: str, told: str) -> None:
    published(CHILD)
    [run_id] = begun(published(f"name: wrong\nsteps: [{{id: call, action: sub_workflow, with: {given}}}]"))
    drain()
    error = steps(run_id)["call"].error
    assert error is not None
    assert told in error["message"]
    assert not Run.objects.filter(parent_id=run_id).exists()


def test_a_workflow_that_calls_itself_ends_at_the_limit(settings: LazySettings) -> None:
    settings.SUB_WORKFLOW_DEPTH = 3
    [run_id] = begun(published("name: self\nsteps: [{id: call, action: sub_workflow, with: {workflow: self}}]"))
    drain()
    assert Run.objects.count() == 4
    assert state(run_id) == "failed"
    deepest = Run.objects.get(depth=3)
    assert deepest.error is not None
    assert "3 is the limit" in deepest.error["message"]


def test_a_known_version_and_labels_are_given_to_the_child() -> None:
    published("name: child\nlabels: {team: shop}\nsteps: [{id: one, action: transform, with: {set: {v: 1}}}]")
    published("name: child\nsteps: [{id: one, action: transform, with: {set: {v: 2}}}]")
    flow = published(
        "name: pinned\nsteps: [{id: call, action: sub_workflow, with: "
        "{workflow: child, version: 1, labels: {of: '{{ run.id }}'}}}]"
    )
    [run_id] = begun(flow)
    drain()
    output = the_run(run_id).output
    assert output is not None
    assert output["output"] == {"v": 1}
    assert child_of(run_id).labels == {"team": "shop", "of": str(run_id)}


def test_a_delivery_again_makes_no_second_child() -> None:
    published(SLOW)
    [run_id] = begun(published(PARENT), {"n": 1})
    [message] = messages()
    perform(message)
    perform(message)
    drain()
    assert Run.objects.filter(parent_id=run_id).count() == 1


def test_a_wait_for_a_run_that_ended_unnoticed_is_told_and_mended_by_the_audit() -> None:
    run_id = calling(SLOW)
    drain()
    child = child_of(run_id)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE runs_run SET state = 'cancelled', finished_at = now() WHERE id = %s", [child.pk])
        cursor.execute("UPDATE runs_steprun SET state = 'skipped', finished_at = now() WHERE run_id = %s", [child.pk])
    assert invariants.check() == 1
    drain()
    assert state(run_id) == "failed"


def test_each_run_leads_to_the_other(capsys: pytest.CaptureFixture[str]) -> None:
    run_id = calling()
    drain()
    child = child_of(run_id).pk
    client = api()
    _, above = client.get(f"runs/{run_id}")
    _, below = client.get(f"runs/{child}")
    assert (above["parent"], above["steps"][0]["child_run"]) == (None, str(child))
    assert below["parent"] == {"run": str(run_id), "step": "call", "item": -1, "attempt": 1}
    page = admin().get(reverse("admin:runs_run_change", args=[run_id])).content.decode()
    assert f'href="{reverse("admin:runs_run_change", args=[child])}"' in page
    page = admin().get(reverse("admin:runs_run_change", args=[child])).content.decode()
    assert f'href="{reverse("admin:runs_run_change", args=[run_id])}"' in page
    call_command("show_run", str(child))
    assert f"started by  {run_id}, step call" in capsys.readouterr().out
