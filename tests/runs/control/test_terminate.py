"""Terminate: end a run at once, whatever it is at; what was to follow is given up, and that is said."""

from __future__ import annotations

from io import StringIO
from uuid import UUID

import pytest
from django.core.management import call_command
from django.urls import reverse

from runs.control import dead_letters, pauses, preconditions, retries, stops
from runs.control import replays as control
from runs.domain.states import StepState
from runs.models import DeadLetter, Intervention, Run, Ticket
from tests.engine import drain, messages, perform, state
from tests.flows import begun, published, states, steps, the_run
from tests.runs.doors import admin, api
from tests.runs.engine.test_engine_endings import ACTOR, claimed, error, record
from tests.runs.engine.test_engine_failures import past
from tests.runs.locks import in_thread, locked_run, wait_for_waiter

pytestmark = pytest.mark.django_db(transaction=True)

# Its second compensation waits for an hour, and the other one for its turn.
STUCK = """
name: stuck
steps:
  - {id: a, action: default, compensate: {action: default}}
  - {id: b, action: default, compensate: {action: wait, with: {for: 1h}}}
  - {id: c, action: default, compensate: {action: default}}
  - {id: end, action: fail, with: {message: no}}
on_failure: [{id: alert, action: default}]
finally: [{id: tidy, action: default}]
"""
TIDIES = "name: tidies\nsteps: [{id: a, action: sleep, with: {seconds: 0}}]\nfinally: [{id: tidy, action: default}]"


def stuck() -> UUID:
    [run_id] = begun(published(STUCK))
    drain()
    assert state(run_id) == "compensating"
    return run_id


def test_a_run_stuck_in_its_compensation_ends_failed_and_says_what_was_not_undone() -> None:
    run_id = stuck()
    assert stops.cancel([run_id], actor=ACTOR) == frozenset()
    assert "terminate it" in preconditions.cannot_cancel(run_id, "compensating")
    assert stops.terminate([run_id], actor=ACTOR) == {run_id}
    run = the_run(run_id)
    assert (run.state, run.ending) == ("failed", None)
    assert error(run_id)["step"] == "end", "what it failed with stays its error"
    assert error(run_id)["terminated"]["not_undone"] == ["b", "a"]
    assert states(run_id)["undo:b"] == "cancelled"
    past()
    drain()
    assert "undo:a" not in states(run_id)
    assert not {"alert", "tidy"} & states(run_id).keys()
    assert (states(run_id)["a"], states(run_id)["c"]) == ("succeeded", "compensated")
    assert [one.verb for one in Intervention.objects.filter(run_id=run_id)] == ["terminate"]


def test_a_terminated_run_is_final_but_for_a_replay() -> None:
    run_id = stuck()
    stops.terminate([run_id], actor=ACTOR)
    for verb in (stops.terminate, retries.retry, stops.cancel, pauses.pause):
        assert verb([run_id], actor=ACTOR) == frozenset()
    assert "was terminated" in preconditions.cannot_retry(run_id, "failed")
    dead_letter = DeadLetter.objects.get(run_id=run_id, step="end")
    assert dead_letters.retry([dead_letter.pk], actor=ACTOR) == frozenset()
    assert "was terminated" in preconditions.cannot_retry_dead_letter(dead_letter)
    assert dead_letters.discard([dead_letter.pk], actor=ACTOR) == {dead_letter.pk}
    new = control.replay(run_id, actor=ACTOR)
    drain()
    assert state(new) == "compensating"


def test_a_run_that_is_cancelled_and_waits_for_a_running_step_ends_without_it() -> None:
    [run_id] = begun(published(TIDIES))
    claimed(run_id, "a")
    stops.cancel([run_id], actor=ACTOR)
    assert stops.terminate([run_id], actor=ACTOR) == {run_id}
    assert state(run_id) == "cancelled"
    assert record(run_id, "a", StepState.SUCCEEDED), "its outcome is still written"
    drain()
    assert (state(run_id), states(run_id)) == ("cancelled", {"a": "succeeded"})


def test_a_run_whose_work_succeeded_ends_cancelled_with_its_output_when_its_finally_is_given_up() -> None:
    flow = published("name: late\nsteps: [{id: a, action: default}]\nfinally: [{id: t, action: wait, with: {for: 1h}}]")
    [run_id] = begun(flow, {"n": 1})
    drain()
    assert the_run(run_id).ending == "succeeded"
    stops.terminate([run_id], actor=ACTOR)
    run = the_run(run_id)
    assert (run.state, run.output, error(run_id)["kind"]) == ("cancelled", {"n": 1}, "terminated")
    assert states(run_id) == {"a": "succeeded", "t": "cancelled"}


def test_queued_paused_and_waiting_runs_end_at_once_and_others_stay_as_they_are() -> None:
    flow = published("name: waits\nsteps: [{id: n, action: wait, with: {for: 1h}}]")
    waiting, paused = begun(flow, {}, {})
    drain()
    pauses.pause([paused], actor=ACTOR)
    [queued] = begun(flow, {})
    Ticket.objects.filter(run_id=queued).delete()
    Run.objects.filter(id=queued).update(state="queued", started_at=None)
    [done] = begun(published("name: done\nsteps: [{id: a, action: default}]"))
    drain()
    Run.objects.filter(id=queued).update(state="queued", started_at=None)
    ids = [waiting, paused, queued, done]
    assert stops.terminate(ids, actor=ACTOR) == {waiting, paused, queued}
    assert [state(run_id) for run_id in ids] == ["cancelled"] * 3 + ["succeeded"]
    assert not Ticket.objects.exists()


def test_the_run_that_a_terminated_one_waits_for_is_cancelled_and_its_parent_goes_on() -> None:
    published("name: leaf\nsteps: [{id: n, action: wait, with: {for: 1h}}]")
    published("name: middle\nsteps: [{id: call, action: sub_workflow, with: {workflow: leaf}}]")
    call = "{id: call, action: sub_workflow, with: {workflow: middle}, on_error: continue}"
    [top] = begun(published(f"name: top\nsteps: [{call}, {{id: b, action: default}}]"))
    drain()
    middle = Run.objects.get(parent_id=top)
    leaf = Run.objects.get(parent_id=middle.pk)
    assert stops.terminate([middle.pk], actor=ACTOR) == {middle.pk}
    drain()
    assert (state(leaf.pk), state(middle.pk), state(top)) == ("cancelled", "cancelled", "succeeded")
    assert "was cancelled" in str(steps(top)["call"].error or steps(top)["call"].output)


def test_a_compensation_that_ends_while_its_run_is_terminated_releases_nothing() -> None:
    [run_id] = begun(published(STUCK.replace("wait, with: {for: 1h}", "sleep, with: {seconds: 0}")))
    while not Ticket.objects.filter(run_id=run_id, head="undo:b").exists():
        for message in messages():
            perform(message)
    messages()
    claimed(run_id, "undo:b")
    with locked_run(run_id) as other, in_thread(lambda: stops.terminate([run_id], actor=ACTOR)):
        first = wait_for_waiter()
        with in_thread(lambda: record(run_id, "undo:b", StepState.SUCCEEDED)):
            wait_for_waiter(after=first)
            other.commit()
    drain()
    assert (state(run_id), states(run_id)["undo:b"]) == ("failed", "succeeded")
    assert "undo:a" not in states(run_id)


def test_every_door_terminates_and_refuses_in_the_same_words() -> None:
    one, two, three, four = (stuck() for _ in range(4))
    assert api("stranger").post(f"runs/{one}/terminate", {})[0] == 404
    assert api().post(f"runs/{one}/terminate", {"why": "hangs"}) == (200, {"id": str(one), "state": "failed"})
    status, problem = api().post(f"runs/{one}/terminate", {})
    assert (status, problem["state"]) == (409, "failed")
    assert "only a run that has not ended can be terminated" in problem["detail"]
    status, told = api().post("runs/terminate", {"ids": [str(one), str(two)], "why": "both"})
    assert (status, told["won"], told["lost"]) == (200, [str(two)], [{"id": str(one), "state": "failed"}])
    out = StringIO()
    call_command("terminate_run", str(three), why="hangs", stdout=out)
    assert f"{three}  terminated" in out.getvalue()
    client, address = admin(), reverse("admin:runs_run_terminate", args=[four])
    page = client.get(reverse("admin:runs_run_change", args=[four])).content.decode()
    assert address in page
    assert reverse("admin:runs_run_cancel", args=[four]) not in page
    assert "the compensation of b, a was not done" in client.get(reverse("admin:runs_run_changelist")).content.decode()
    assert "End a run at once" in client.get(address).content.decode()
    assert client.post(address, {"why": "hangs"}).status_code == 302
    assert state(four) == "failed"
    assert "only a run that has not ended" in client.get(address, follow=True).content.decode()
    assert Intervention.objects.filter(verb="terminate").count() == 4
