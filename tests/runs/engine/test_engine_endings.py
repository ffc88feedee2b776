"""How runs end: compensation, on_failure, finally, and the order of these."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from django.conf import LazySettings
from django.db.models import F

from runs.control import dead_letters, preconditions, retries
from runs.control import replays as control
from runs.domain.actor import Actor
from runs.domain.outcomes import HeldClaim, Outcome, RunFacts, StepResult
from runs.domain.states import StepState
from runs.engine import lease
from runs.engine import record as record_engine
from runs.maintenance.sweep import sweep
from runs.models import DeadLetter, Process, Run, StepRun, Ticket
from runs.planning.plan import load
from tests.engine import claim, deliver, drain, messages, perform, state
from tests.flows import begun, published, states, steps, the_run
from tests.runs.engine.test_engine_failures import HOUR, past
from tests.runs.locks import in_thread, locked_run, waiters
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

ACTOR = Actor(reason="because")
TRIP = """
name: trip
steps:
  - id: flight
    action: sleep
    with: {seconds: 0}
    compensate: {action: sleep, with: {seconds: "{{ steps.flight.output.seconds }}"}}
  - id: hotel
    action: transform
    with: {set: {room: 7}}
    compensate: {action: transform, with: {set: {free: "{{ room }}"}}}
  - {id: note, action: default}
  - {id: pay, action: FAIL}
on_failure:
  - {id: alert, action: notify, with: {channel: ops, text: "{{ steps.pay.error.message }}"}}
finally:
  - {id: tidy, action: transform, with: {set: {outcome: "{{ run.outcome }}"}}}
"""
BROKEN = TRIP.replace("FAIL", "fail, with: {message: no money}")
SOUND = TRIP.replace("FAIL", "default")


def order(run_id: UUID) -> list[str]:
    """The steps that were performed, in the order in which they were written."""
    rows = StepRun.objects.filter(run_id=run_id).exclude(state="skipped")
    return list(rows.order_by("id").values_list("step", flat=True))


def error(run_id: UUID) -> Any:
    return the_run(run_id).error


def claimed(run_id: UUID, head: str) -> None:
    """A worker of its own claims the step, and does not come to record it."""
    got = claim(run_id, head, process=lease.current())
    assert len(got) == 1


def record(run_id: UUID, step: str, result: StepState, **told: Any) -> bool:
    """What that worker says at last; answers whether it counted."""
    row = steps(run_id)[step]
    assert row.process is not None
    outcome = Outcome(
        run=RunFacts(id=run_id, input={}, began=0.0),
        fence=HeldClaim(attempt=row.attempt, process=row.process),
        results=(StepResult(step=step, state=result, attempt=row.attempt, **told),),
    )
    return bool(record_engine.record([outcome], plan=load(the_run(run_id).version_id)).won)


def test_a_failed_run_is_compensated_in_reverse_then_tells_then_tidies_up() -> None:
    [run_id] = begun(published(BROKEN))
    drain()
    assert order(run_id) == ["flight", "hotel", "note", "pay", "undo:hotel", "undo:flight", "alert", "tidy"]
    assert states(run_id) == {
        "flight": "compensated",
        "hotel": "compensated",
        "note": "succeeded",
        "pay": "failed",
        "undo:hotel": "succeeded",
        "undo:flight": "succeeded",
        "alert": "succeeded",
        "tidy": "succeeded",
    }
    rows = steps(run_id)
    assert rows["undo:hotel"].output == {"free": 7}, "it is given what the step answered"
    assert rows["tidy"].output == {"outcome": "failed"}
    run = the_run(run_id)
    assert (run.state, run.ending) == ("compensated", None)
    assert error(run_id)["step"] == "pay"
    assert DeadLetter.objects.get(run_id=run_id).step == "pay"


def test_a_run_that_goes_well_compensates_nothing_and_tidies_up() -> None:
    [run_id] = begun(published(SOUND), {"x": 1})
    drain()
    assert order(run_id) == ["flight", "hotel", "note", "pay", "tidy"]
    run = the_run(run_id)
    assert (run.state, run.output, run.ending) == ("succeeded", {"room": 7}, None)
    assert steps(run_id)["tidy"].output == {"outcome": "succeeded"}


def test_branches_are_undone_in_the_order_in_which_they_succeeded_and_not_in_the_plans() -> None:
    flow = published(
        """
name: branches-undone
steps:
  - {id: a, action: sleep, with: {seconds: 0}, compensate: {action: default}}
  - {id: b, needs: [], action: sleep, with: {seconds: 0}, compensate: {action: default}}
  - {id: c, needs: [], action: sleep, with: {seconds: 0}, compensate: {action: default}}
  - {id: end, needs: [a, b, c], action: fail, with: {message: no}}
"""
    )
    [run_id] = begun(flow)
    for step in ("b", "c", "a"):
        claimed(run_id, step)
        record(run_id, step, StepState.SUCCEEDED)
    drain()
    assert order(run_id)[-3:] == ["undo:a", "undo:c", "undo:b"]
    assert state(run_id) == "compensated"


def test_a_compensation_that_fails_does_not_hold_back_the_others_and_is_said() -> None:
    bad = 'compensate: {action: flaky, with: {failure_rate: 1}, retry: {max_attempts: 2, initial: "5s"}}'
    good = 'compensate: {action: transform, with: {set: {free: "{{ room }}"}}}'
    assert good in BROKEN
    [run_id] = begun(published(BROKEN.replace(good, bad)))
    drain()
    assert states(run_id)["undo:hotel"] == "retrying"
    assert "undo:flight" not in states(run_id), "one at a time"
    assert state(run_id) == "compensating"
    past()
    drain()
    found = states(run_id)
    assert (found["undo:hotel"], found["hotel"]) == ("failed", "succeeded")
    assert (found["undo:flight"], found["flight"]) == ("succeeded", "compensated")
    assert found["tidy"] == "succeeded"
    assert state(run_id) == "failed"
    assert error(run_id)["step"] == "pay"
    assert error(run_id)["compensation"]["failed"] == ["hotel"]
    letters = dict(DeadLetter.objects.filter(run_id=run_id).values_list("step", "reason"))
    assert letters == {"pay": "failed", "undo:hotel": "compensation"}


def test_a_compensation_whose_worker_dies_goes_again_and_counts_once() -> None:
    [run_id] = begun(published(BROKEN))
    while "undo:hotel" not in states(run_id):
        deliver()
    messages()
    claimed(run_id, "undo:flight")
    zombie = steps(run_id)["undo:flight"]
    Process.objects.update(expires_at=F("expires_at") - HOUR)
    lease.give_up()
    assert sweep().rescued == 1
    drain()
    row = steps(run_id)["undo:flight"]
    assert (row.state, row.attempt) == ("succeeded", 2)
    assert row.attempts[0]["outcome"] == "lost"
    assert zombie.attempt == 1
    assert order(run_id).count("undo:flight") == 1
    assert state(run_id) == "compensated"


def test_a_step_that_a_replay_kept_is_not_undone_by_it() -> None:
    [old] = begun(published(SOUND))
    drain()
    published(BROKEN)
    new = control.replay(old, step="pay", latest=True, actor=ACTOR)
    drain()
    assert states(new) == {
        "flight": "succeeded",
        "hotel": "succeeded",
        "note": "succeeded",
        "pay": "failed",
        "alert": "succeeded",
        "tidy": "succeeded",
    }
    assert state(new) == "failed"


@pytest.mark.parametrize("undo", ["", ", compensate: {action: default}"])
def test_an_output_that_cannot_be_rendered_is_a_failure_like_any_other(undo: str) -> None:
    flow = published(
        f"""
name: bad-output
steps: [{{id: a, action: default{undo}}}]
output: "{{{{ steps.a.output.missing }}}}"
on_failure: [{{id: alert, action: default}}]
"""
    )
    [run_id] = begun(flow, {"x": 1})
    drain()
    undone = ["undo:a"] if undo else []
    assert order(run_id) == ["a", *undone, "alert"]
    assert state(run_id) == ("compensated" if undo else "failed")
    assert "missing" in error(run_id)["message"]


def test_a_finally_step_that_fails_turns_a_success_into_a_failure_that_says_so() -> None:
    last = "finally: [{id: tidy, action: fail, with: {message: no broom}}, {id: after, action: default}]"
    flow = published(f"name: untidy\nsteps: [{{id: a, action: default}}]\n{last}")
    [run_id] = begun(flow, {"x": 1})
    drain()
    assert states(run_id) == {"a": "succeeded", "tidy": "failed", "after": "skipped"}
    assert state(run_id) == "failed"
    assert error(run_id)["step"] == "tidy"
    assert the_run(run_id).output == {"x": 1}


def test_a_finally_step_that_waits_parks_the_run_and_its_output_stays() -> None:
    last = "finally: [{id: nap, action: wait, with: {for: 30m}}, {id: after, action: default}]"
    flow = published(f"name: naps-last\nsteps: [{{id: a, action: default}}]\n{last}")
    [run_id] = begun(flow, {"x": 1})
    drain()
    run = the_run(run_id)
    assert (run.state, run.ending, run.output) == ("waiting", "succeeded", {"x": 1})
    past()
    drain()
    run = the_run(run_id)
    assert (run.state, run.ending, run.output) == ("succeeded", None, {"x": 1})


def test_a_compensation_that_waits_leaves_the_run_compensating() -> None:
    undo = "compensate: {action: wait, with: {for: 30m}}"
    flow = published(
        f"name: slow-undo\nsteps: [{{id: a, action: default, {undo}}}, {{id: b, action: fail, with: {{message: no}}}}]"
    )
    [run_id] = begun(flow)
    drain()
    assert (state(run_id), states(run_id)["undo:a"]) == ("compensating", "waiting")
    past()
    drain()
    assert (state(run_id), states(run_id)["a"]) == ("compensated", "compensated")


def test_two_last_branches_that_fail_at_once_begin_the_compensation_once(settings: LazySettings) -> None:
    settings.MIXED_MESSAGES = False  # else one message would take both branches
    flow = published(
        """
name: two-fail
steps:
  - {id: a, action: default, compensate: {action: sleep, with: {seconds: 0}}}
  - {id: b, needs: [a], action: transform, with: {select: [gone]}}
  - {id: c, needs: [a], action: fail, with: {message: no}, retry: {max_attempts: 1}}
"""
    )
    [run_id] = begun(flow)
    deliver()
    left, right = messages()
    with locked_run(run_id) as other, in_thread(lambda: perform(left)), in_thread(lambda: perform(right)):
        wait_for(lambda: len(waiters()) == 2, what="two statements that wait for a lock")
        other.commit()
    assert list(Ticket.objects.filter(run_id=run_id).values_list("head", flat=True)) == ["undo:a"]
    drain()
    assert state(run_id) == "compensated"
    assert steps(run_id)["undo:a"].attempt == 1


def test_a_run_that_compensated_is_replayed_and_not_retried() -> None:
    flow = published(
        """
name: undone
steps:
  - {id: a, action: default, compensate: {action: default}}
  - {id: b, action: fail, with: {message: no}}
"""
    )
    [run_id] = begun(flow)
    drain()
    assert state(run_id) == "compensated"
    assert retries.retry([run_id], actor=ACTOR) == frozenset()
    new = control.replay(run_id, actor=ACTOR)
    drain()
    assert order(new) == ["a", "b", "undo:a"]


def test_a_retry_by_hand_takes_back_what_finally_did() -> None:
    flow = published(
        """
name: retried
steps: [{id: a, action: transform, with: {select: [email]}}]
finally: [{id: tidy, action: transform, with: {set: {outcome: "{{ run.outcome }}"}}}]
"""
    )
    [run_id] = begun(flow, {})
    drain()
    assert steps(run_id)["tidy"].output == {"outcome": "failed"}
    assert retries.retry([run_id], actor=ACTOR, inputs={(run_id, "a"): {"email": 1}}) == {run_id}
    drain()
    assert state(run_id) == "succeeded"
    assert steps(run_id)["tidy"].output == {"outcome": "succeeded"}


@pytest.mark.parametrize("wait", ["true", "false"])
def test_a_retry_by_hand_lets_on_failure_start_its_sub_workflow_again(wait: str) -> None:
    published("name: told\nsteps: [{id: a, action: transform, with: {set: {n: 1}}}]")
    call = f"{{id: call, action: sub_workflow, with: {{workflow: told, wait: {wait}}}}}"
    [run_id] = begun(published(f"name: again\nsteps: [{{id: a, action: fail}}]\non_failure: [{call}]"))
    drain()
    assert retries.retry([run_id], actor=ACTOR) == {run_id}
    drain()
    assert state(run_id) == "failed"
    started = Run.objects.filter(source="sub_workflow").order_by("id").values_list("state", "parent_id")
    assert list(started) == [("succeeded", None), ("succeeded", run_id)]
    assert steps(run_id)["call"].attempt == 1


def test_a_child_that_is_retried_together_with_its_parent_goes_again_on_its_own() -> None:
    published("name: told\nsteps: [{id: b, action: fail}]")
    finally_ = "[{id: call, action: sub_workflow, with: {workflow: told}}]"
    [run_id] = begun(published(f"name: both\nsteps: [{{id: a, action: fail}}]\nfinally: {finally_}"))
    drain()
    child = Run.objects.get(parent_id=run_id)
    assert retries.retry([child.pk, run_id], actor=ACTOR) == {child.pk, run_id}
    assert retries.retry([child.pk, run_id], actor=ACTOR) == frozenset(), "neither has failed any more"
    drain()
    assert Run.objects.filter(parent_id=run_id).count() == 1
    assert state(run_id) == "failed"


def test_a_retry_by_hand_closes_the_dead_letters_of_what_is_to_come_again() -> None:
    flow = published(
        """
name: letters
steps: [{id: a, action: fail}]
on_failure: [{id: alert, action: fail}]
finally: [{id: tidy, action: fail}]
"""
    )
    begun(flow)
    drain()
    [dead_letter] = DeadLetter.objects.filter(step="a")
    assert dead_letters.retry([dead_letter.pk], actor=ACTOR) == {dead_letter.pk}
    assert not DeadLetter.objects.filter(state="open").exists()
    drain()
    assert sorted(DeadLetter.objects.filter(state="open").values_list("step", flat=True)) == ["a", "alert", "tidy"]


@pytest.mark.parametrize(
    ("last", "step", "told"),
    [
        ("on_failure: [{id: alert, action: fail}]", "alert", "comes again when the run is retried or replayed"),
        ("finally: [{id: tidy, action: fail}]", "tidy", "comes again when the run is retried or replayed"),
        ("labels: {}", "b", "what its steps did is undone, so a replay makes a new run of it"),
    ],
)
def test_a_dead_letter_of_how_a_run_ended_says_what_can_be_done_and_can_be_discarded(
    last: str, step: str, told: str
) -> None:
    undo = ", compensate: {action: fail}" if last == "labels: {}" else ""
    flow = published(f"name: ended\nsteps: [{{id: a, action: default{undo}}}, {{id: b, action: fail}}]\n{last}")
    [run_id] = begun(flow)
    drain()
    dead_letter = DeadLetter.objects.select_related("run").get(run_id=run_id, step=step)
    assert dead_letters.retry([dead_letter.pk], actor=ACTOR) == frozenset()
    assert told in preconditions.cannot_retry_dead_letter(dead_letter)
    assert dead_letters.discard([dead_letter.pk], actor=ACTOR) == {dead_letter.pk}
