"""Retry by hand of compensations that failed: they go again one after the other, and the run ends compensated."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from actions.base import Json
from runs.control import dead_letters, preconditions, retries
from runs.models import DeadLetter, Run, StepRun, Ticket
from tests.engine import deliver, drain, messages, perform, state
from tests.flows import begun, published, states, steps, the_run
from tests.runs.doors import api
from tests.runs.engine.test_engine_endings import ACTOR, error, order
from tests.runs.locks import in_thread, locked_run, wait_for_waiter

pytestmark = pytest.mark.django_db(transaction=True)

# What undoes a and c needs an `email` in its input, which is what the step answered.
THREE = """
name: three
steps:
  - {id: a, action: default, compensate: {action: transform, with: {select: [email]}}}
  - {id: b, action: default, compensate: {action: default}}
  - {id: c, action: default, compensate: {action: transform, with: {select: [email]}}}
  - {id: end, action: fail, with: {message: no}}
on_failure: [{id: alert, action: transform, with: {set: {n: 1}}}]
finally: [{id: tidy, action: default}]
"""
GIVEN: Json = {"email": "a@b.c"}


def half_undone() -> UUID:
    """A run that failed because two of its three compensations did."""
    [run_id] = begun(published(THREE))
    drain()
    assert (state(run_id), error(run_id)["compensation"]["failed"]) == ("failed", ["c", "a"])
    return run_id


def letter_of(run_id: UUID, step: str) -> UUID:
    return DeadLetter.objects.get(run_id=run_id, step=step, state="open").pk


def mend(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the compensations need is there now."""
    monkeypatch.setattr("actions.catalogue.transform.Transform.perform", lambda *_: {})


def heads(run_id: UUID) -> list[str]:
    return list(Ticket.objects.filter(run_id=run_id).values_list("head", flat=True))


def test_failed_compensations_go_again_one_after_the_other_and_the_run_ends_compensated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run_id = half_undone()
    mend(monkeypatch)
    assert retries.retry([run_id], actor=ACTOR) == {run_id}
    run = the_run(run_id)
    assert (run.state, run.ending, heads(run_id)) == ("compensating", "failed", ["undo:c"])
    assert "undo:a" not in states(run_id), "it is to come again, after the other"
    drain()
    assert order(run_id)[-3:] == ["undo:a", "alert", "tidy"]
    assert state(run_id) == "compensated"
    assert {step: mark for step, mark in states(run_id).items() if mark == "compensated"}.keys() == {"a", "b", "c"}
    assert (error(run_id)["step"], "compensation" in error(run_id)) == ("end", False)
    assert steps(run_id)["undo:b"].attempt == 1, "what was undone is not undone again"
    assert not DeadLetter.objects.filter(run_id=run_id, state="open").exclude(step="end").exists()
    assert retries.retry([run_id], actor=ACTOR) == frozenset()


def test_one_that_fails_again_is_said_again_and_can_be_tried_again() -> None:
    run_id = half_undone()
    for _ in range(2):
        retries.retry([run_id], actor=ACTOR)
        drain()
        assert (state(run_id), error(run_id)["compensation"]["failed"]) == ("failed", ["c", "a"])
        assert DeadLetter.objects.filter(run_id=run_id, reason="compensation", state="open").count() == 2


def test_a_single_dead_letter_of_a_compensation_is_retried_with_another_input() -> None:
    run_id = half_undone()
    assert dead_letters.retry([letter_of(run_id, "undo:a")], actor=ACTOR, given=GIVEN)
    drain()
    assert (state(run_id), error(run_id)["compensation"]["failed"]) == ("failed", ["c"])
    assert (states(run_id)["a"], states(run_id)["c"]) == ("compensated", "succeeded")
    status, told = api().post(f"dead-letters/{letter_of(run_id, 'undo:c')}/retry", {"input": GIVEN})
    assert (status, told["run_state"]) == (200, "compensating")
    drain()
    assert state(run_id) == "compensated"


def test_the_work_itself_does_not_go_on_once_it_was_undone() -> None:
    run_id = half_undone()
    dead_letter = DeadLetter.objects.get(run_id=run_id, step="end")
    assert dead_letters.retry([dead_letter.pk], actor=ACTOR) == frozenset()
    assert "what its steps did is undone" in preconditions.cannot_retry_dead_letter(dead_letter)
    assert retries.retry([run_id], actor=ACTOR, inputs={(run_id, "undo:a"): GIVEN}) == frozenset()
    assert "one after the other" in preconditions.cannot_retry(run_id, "failed", edited={"undo:a": {}})
    assert state(run_id) == "failed"


def test_a_run_that_timed_out_can_be_undone_again_though_its_work_cannot_go_on() -> None:
    run_id = half_undone()
    run = Run.objects.get(pk=run_id)
    Run.objects.filter(pk=run_id).update(error={**(run.error or {}), "reason": "timed_out"})
    assert retries.retry([run_id], actor=ACTOR) == {run_id}
    drain()
    assert error(run_id)["reason"] == "timed_out"


def test_two_retries_at_once_set_the_compensation_going_once() -> None:
    run_id = half_undone()
    won: list[Any] = []

    def retry() -> None:
        won.append(retries.retry([run_id], actor=ACTOR))

    with locked_run(run_id) as other, in_thread(retry):
        first = wait_for_waiter()
        with in_thread(retry):
            wait_for_waiter(after=first)
            other.commit()
    assert sorted(map(len, won)) == [0, 1]
    assert the_run(run_id).interventions.count() == 1
    drain()


def test_a_compensation_that_starts_a_workflow_starts_another_one_when_it_goes_again() -> None:
    published("name: below\nsteps: [{id: x, action: fail}]")
    call = "{action: sub_workflow, with: {workflow: below}}"
    work = f"[{{id: a, action: default, compensate: {call}}}, {{id: b, action: default, compensate: {call}}}"
    [run_id] = begun(published(f"name: above\nsteps: {work}, {{id: c, action: fail}}]"))
    drain()
    assert error(run_id)["compensation"]["failed"] == ["b", "a"]
    assert Run.objects.filter(source="sub_workflow").count() == 2
    assert retries.retry([run_id], actor=ACTOR) == {run_id}
    drain()
    assert Run.objects.filter(source="sub_workflow").count() == 4
    assert state(run_id) == "failed"


def test_a_late_message_of_the_first_time_does_nothing_when_a_compensation_goes_again() -> None:
    [run_id] = begun(published(THREE))
    late = []
    for _ in range(20):
        for message in (found := messages()):
            if message[1][1]["head"].startswith("undo:"):
                late.append(message)
            perform(message)
        if not found:
            break
    drain()
    assert late
    retries.retry([run_id], actor=ACTOR)
    drain()
    for message in late:
        perform(message)
    assert deliver() == 0
    assert state(run_id) == "failed"
    assert StepRun.objects.filter(run_id=run_id, step__startswith="undo:").count() == 3
