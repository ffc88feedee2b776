"""A step performed over a list: item by item, in a window, counted, resumed and retried."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from django.urls import reverse
from pytest_django import Settings

from runs.control import retries, stops
from runs.domain.actor import Actor
from runs.engine import for_each
from runs.maintenance import sweep
from runs.models import DeadLetter, ItemBatch, StepRun, Ticket
from tests.engine import deliver, drain, messages, perform, state
from tests.flows import begun, published, steps, the_run
from tests.runs.doors import admin, api
from tests.runs.locks import in_thread, locked_run, waiters
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)


def looped(rest: str, *, each: str = "", after: str = "") -> str:
    items_ = "items: '{{ input.rows }}'" + (f", {each}" if each else "")
    return f"name: looped\nsteps:\n  - {{id: each, for_each: {{{items_}}}, {rest}}}\n{after}"


DOUBLE = "action: transform, with: {set: {n: '{{ item * 2 }}', at: '{{ index }}'}}"


def ran(text: str, rows: Any, **more: Any) -> UUID:
    [run_id] = begun(published(text), {"rows": rows, **more})
    drain()
    return run_id


def controller(run_id: UUID) -> StepRun:
    return StepRun.objects.get(run_id=run_id, step="each", item=-1)


def item_states(run_id: UUID) -> list[str]:
    found = StepRun.objects.filter(run_id=run_id, step="each", item__gte=0).order_by("item")
    return list(found.values_list("state", flat=True))


def test_every_item_is_performed_and_its_result_stands_in_the_steps_output() -> None:
    run_id = ran(looped(DOUBLE, after="  - {id: end, action: default}"), [3, 5])
    assert the_run(run_id).output == {
        "count": 2,
        "succeeded": 2,
        "failed": 0,
        "skipped": 0,
        "results": [{"n": 6, "at": 0}, {"n": 10, "at": 1}],
    }
    assert state(run_id) == "succeeded"


def test_an_item_is_its_steps_input() -> None:
    run_id = ran(looped("action: transform, with: {select: [a]}"), [{"a": 1, "b": 2}])
    output = the_run(run_id).output
    assert output is not None
    assert output["results"] == [{"a": 1}]


def test_no_more_items_are_open_than_may_be_while_one_of_them_is_tried_again() -> None:
    flaky = "action: flaky, with: {failure_rate: '{{ item }}'}, retry: {max_attempts: 2, initial: 60s}"
    [run_id] = begun(published(looped(flaky, each="max_parallel: 2")), {"rows": [1, 0, 0, 0, 0]})
    while deliver():
        assert Ticket.objects.filter(run_id=run_id, item__gte=0).count() <= 2
    assert item_states(run_id) == ["retrying", "succeeded", "succeeded", "succeeded", "succeeded"]


def test_an_empty_list_succeeds_at_once() -> None:
    run_id = ran(looped(DOUBLE), [])
    assert the_run(run_id).output == {"count": 0, "succeeded": 0, "failed": 0, "skipped": 0, "results": []}


@pytest.mark.parametrize(("given", "told"), [({"a": 1}, "dict"), ("abc", "str 'abc'"), (None, "null")])
def test_what_is_no_list_fails_for_good_and_says_what_it_was(given: Any, told: str) -> None:
    run_id = ran(looped(DOUBLE, each="max_parallel: 2"), given)
    error = controller(run_id).error
    assert error is not None
    assert f"for_each.items must be a list, not {told}" in error["message"]
    assert DeadLetter.objects.get(run_id=run_id).item == -1


def test_a_condition_about_an_item_skips_that_item() -> None:
    run_id = ran(looped(DOUBLE + ", if: 'item > 3'"), [3, 5])
    output = the_run(run_id).output
    assert output is not None
    assert (output["skipped"], output["results"]) == (1, [None, {"n": 10, "at": 1}])


def test_a_condition_about_the_step_skips_it_as_a_whole() -> None:
    run_id = ran(looped(DOUBLE + ", if: 'input.wanted'"), [3, 5], wanted=False)
    assert controller(run_id).state == "skipped"
    assert item_states(run_id) == []


FAILING = "action: compute, with: {iterations: '{{ 1 if item else 0 - 1 }}'}, retry: {max_attempts: 1}"


def test_a_failed_item_fails_the_step_with_one_dead_letter_that_names_it() -> None:
    run_id = ran(looped(FAILING), [1, 0, 1])
    assert item_states(run_id) == ["succeeded", "failed", "succeeded"]
    error = controller(run_id).error
    assert error is not None
    assert (error["kind"], error["details"]["failed"], error["details"]["items"][0]["item"]) == ("for_each", 1, 1)
    assert DeadLetter.objects.get(run_id=run_id).item == -1
    assert state(run_id) == "failed"


def test_with_continue_the_step_succeeds_and_counts_what_failed() -> None:
    run_id = ran(looped(FAILING, each="on_item_error: continue"), [1, 0, 1])
    output = the_run(run_id).output
    assert output is not None
    assert (output["succeeded"], output["failed"]) == (2, 1)
    assert "error" in output["results"][1]
    assert not DeadLetter.objects.exists()


def test_a_failure_begins_no_further_items_and_a_retry_by_hand_does_the_rest() -> None:
    run_id = ran(looped(FAILING, each="batch: 2"), [1, 0, 1, 1])
    assert item_states(run_id) == ["succeeded", "failed"]
    StepRun.objects.filter(run_id=run_id, item=0).update(output={"kept": True})
    ItemBatch.objects.filter(run_id=run_id, number=0).update(items=[1, 1])
    assert retries.retry([run_id], actor=Actor()) == {run_id}
    drain()
    assert item_states(run_id) == ["succeeded"] * 4
    output = the_run(run_id).output
    assert output is not None
    assert (output["succeeded"], output["failed"], output["results"][0]) == (4, 0, {"kept": True})


def test_another_input_for_a_list_that_has_begun_is_refused_and_changes_nothing() -> None:
    run_id = ran(looped(FAILING, each="batch: 2"), [1, 0, 1, 1])
    dead_letter = DeadLetter.objects.get(run_id=run_id)
    client, edited = api(), {"rows": [1, 1]}
    refused = [
        client.post(f"runs/{run_id}/retry", {"inputs": {"each": edited}}),
        client.post(f"dead-letters/{dead_letter.pk}/retry", {"input": edited}),
    ]
    for status, problem in refused:
        assert status == 409
        assert "has begun its list, which another input does not change" in problem["detail"]
    assert (state(run_id), controller(run_id).input) == ("failed", None)
    dead_letter.refresh_from_db()
    assert dead_letter.state == "open"
    assert client.post(f"runs/{run_id}/retry", {"inputs": {"each": None}})[0] == 200


def test_the_admin_says_at_the_field_that_a_list_which_has_begun_stays() -> None:
    run_id = ran(looped(FAILING), [1, 0])
    dead_letter = DeadLetter.objects.get(run_id=run_id)
    address = reverse("admin:runs_deadletter_edit", args=[dead_letter.pk])
    client = admin()
    offered = client.get(reverse("admin:runs_deadletter_change", args=[dead_letter.pk])).content.decode()
    assert reverse("admin:runs_deadletter_retry", args=[dead_letter.pk]) in offered
    assert address not in offered
    page = client.post(address, {"input": '{"rows": [1]}', "why": "typo"}).content.decode()
    assert "has begun its list" in page
    assert "[1]" in page
    assert state(run_id) == "failed"


def test_a_window_of_items_is_open_at_a_time() -> None:
    flow = looped("action: sleep, with: {seconds: 0}", each="max_parallel: 3, batch: 100")
    [run_id] = begun(published(flow), {"rows": list(range(8))})
    deliver()
    assert Ticket.objects.filter(run_id=run_id, item__gte=0).count() == 3
    assert controller(run_id).open_items == 3
    assert state(run_id) == "running"
    drain()
    assert state(run_id) == "succeeded"


def test_items_are_retried_by_the_steps_policy_each_for_itself() -> None:
    flow = looped("action: flaky, with: {failure_rate: 1}, retry: {max_attempts: 2, initial: 0s}")
    run_id = ran(flow, [1, 2])
    assert item_states(run_id) == ["failed", "failed"]
    assert {len(row.attempts) for row in StepRun.objects.filter(run_id=run_id, item__gte=0)} == {2}
    assert controller(run_id).attempt == 1


def test_a_crash_between_batches_resumes_at_the_batch() -> None:
    [run_id] = begun(published(looped(DOUBLE, each="batch: 2")), {"rows": [1, 2, 3, 4]})
    deliver()
    with pytest.MonkeyPatch.context() as crashed:
        crashed.setattr(for_each, "turn", lambda rows: for_each.Turned())
        deliver()
    assert item_states(run_id) == ["succeeded"] * 2
    sweep.sweep()
    drain()
    assert item_states(run_id) == ["succeeded"] * 4


def test_two_last_items_at_once_end_the_step_once(settings: Settings) -> None:
    settings.EFFECTFUL_BATCH_RUNS = 1
    flow = looped("action: sleep, with: {seconds: 0}", after="  - {id: end, action: default}")
    [run_id] = begun(published(flow), {"rows": [1, 2]})
    deliver()
    left, right = messages()
    with locked_run(run_id) as other, in_thread(lambda: perform(left)), in_thread(lambda: perform(right)):
        wait_for(lambda: len(waiters()) == 2, what="two items that wait for the run")
        other.commit()
    drain()
    assert state(run_id) == "succeeded"
    assert steps(run_id)["end"].state == "succeeded"


def test_a_cancel_ends_the_items_that_were_begun() -> None:
    flow = looped("action: wait, with: {for: 1h}")
    [run_id] = begun(published(flow), {"rows": [1, 2]})
    drain()
    assert item_states(run_id) == ["waiting", "waiting"]
    stops.cancel([run_id], actor=Actor())
    assert item_states(run_id) == ["cancelled", "cancelled"]
    assert not Ticket.objects.exists()


def test_each_item_may_be_a_sub_workflow() -> None:
    published("name: child\nsteps: [{id: one, action: transform, with: {set: {n: '{{ input.n + 1 }}'}}}]")
    run_id = ran(looped("action: sub_workflow, with: {workflow: child}"), [{"n": 1}, {"n": 2}])
    output = the_run(run_id).output
    assert output is not None
    assert [one["output"] for one in output["results"]] == [{"n": 2}, {"n": 3}]


def test_a_rate_bound_lets_the_next_batch_wait() -> None:
    run_id = ran(looped(DOUBLE, each="batch: 2, min_batch_seconds: 1h"), [1, 2, 3])
    assert item_states(run_id) == ["succeeded"] * 2
    row = controller(run_id)
    assert row.wake_at is not None
    assert row.progress is not None
    assert row.state == "waiting"
    StepRun.objects.filter(pk=row.pk).update(wake_at="2000-01-01T00:00Z", progress={**row.progress, "began": 0})
    drain()
    assert state(run_id) == "succeeded"


def test_items_are_read_page_by_page_and_by_state() -> None:
    run_id = ran(looped(FAILING, each="on_item_error: continue"), [1, 0, 1])
    client = api()
    _, run = client.get(f"runs/{run_id}")
    assert run["steps"][0]["items"] == {"count": 3, "succeeded": 2, "failed": 1, "skipped": 0}
    status, body = client.get(f"runs/{run_id}/steps/each/items", state="failed")
    assert status == 200
    assert [(one["item"], one["state"]) for one in body["results"]] == [(1, "failed")]
