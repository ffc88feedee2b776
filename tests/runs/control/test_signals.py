"""A step waits for a signal: before it, after it, in time, too late, by run and by key."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db.models import F
from django.db.models.functions import Now

from actions.base import Json
from runs.control import retries, signals, stops
from runs.control.preconditions import cannot_signal
from runs.control.signals import Message, Sent
from runs.domain.actor import Actor
from runs.maintenance import sweep
from runs.models import DeadLetter, Run, Signal, StepRun
from runs.queries.database import observed
from tests.engine import deliver, drain, state
from tests.flows import begun, published, states, steps, the_run, workspace

pytestmark = pytest.mark.django_db(transaction=True)

ACTOR = Actor()
DAY = timedelta(days=1)


def paid(name: str = "paid", **config: Any) -> str:
    """A step before the wait and one after it."""
    return f"""
name: order
steps:
  - {{id: a, action: default}}
  - {{id: pay, action: wait_for_signal, with: {config | {"name": name}} }}
  - {{id: ship, action: transform, with: {{set: {{got: "{{{{ steps.pay.output }}}}"}}}}}}
"""


def waits(*inputs: Any, **config: Any) -> list[UUID]:
    ids = begun(published(paid(**config)), *inputs)
    drain()
    assert {state(run_id) for run_id in ids} == {"waiting"}
    return ids


def send(*runs: UUID, name: str = "paid", payload: Json = None, once: str | None = None) -> list[Sent]:
    return signals.send(runs, message=Message(name, payload, once), actor=ACTOR)


def send_by_key(key: str, *, payload: Json = None, once: str | None = None) -> list[Sent]:
    return signals.send_by_key(key, workspace_id=workspace().pk, message=Message("paid", payload, once), actor=ACTOR)


def output(run_id: UUID, step: str = "pay") -> Any:
    return steps(run_id)[step].output


def past() -> None:
    """A day passes for every wait."""
    StepRun.objects.filter(state="waiting").update(wake_at=F("wake_at") - DAY)


def test_a_signal_wakes_the_step_with_its_payload() -> None:
    [run_id] = waits()
    row = steps(run_id)["pay"]
    assert (row.signal, row.wake_at, row.process) == ("paid", None, None)
    [sent] = send(run_id, payload={"amount": 3})
    drain()
    assert state(run_id) == "succeeded"
    told = output(run_id)
    assert (told["signal"], told["payload"]) == ("paid", {"amount": 3})
    assert told["at"].endswith("Z")
    assert the_run(run_id).output == {"got": told}
    used = Signal.objects.get()
    assert (used.pk, used.step, used.used_at is not None) == (sent.id, "pay", True)


def test_a_wait_with_neither_timeout_nor_signal_waits_on() -> None:
    [run_id] = waits()
    assert sweep.wake() == 0
    assert sweep.sweep().next_seconds is None
    assert state(run_id) == "waiting"


def test_a_signal_that_comes_before_the_wait_is_kept_and_met() -> None:
    [run_id] = begun(published(paid()), {})
    [sent] = send(run_id, payload=1)
    assert Signal.objects.get(pk=sent.id).used_at is None
    assert send(run_id, payload=2) == []
    drain()
    assert state(run_id) == "succeeded"
    assert output(run_id)["payload"] == 1
    row = Signal.objects.get()
    assert (row.step, row.item, row.used_at is not None) == ("pay", -1, True)


def test_a_kept_signal_is_met_by_one_step_only_and_in_the_order_of_sending() -> None:
    two = """
name: two
steps:
  - {id: a, needs: [], action: default}
  - {id: first, needs: [a], action: wait_for_signal, with: {name: paid}}
  - {id: second, needs: [first], action: wait_for_signal, with: {name: paid}}
"""
    [run_id] = begun(published(two), {})
    assert [len(send(run_id, payload=n)) for n in (1, 2, 3)] == [1, 1, 0]
    drain()
    assert state(run_id) == "succeeded"
    assert [output(run_id, step)["payload"] for step in ("first", "second")] == [1, 2]


def test_steps_side_by_side_that_wait_for_one_name_are_woken_one_by_one() -> None:
    both = """
name: both
steps:
  - {id: a, action: default}
  - {id: x, needs: [a], action: wait_for_signal, with: {name: paid}}
  - {id: y, needs: [a], action: wait_for_signal, with: {name: paid}}
"""
    [run_id] = begun(published(both), {})
    drain()
    send(run_id)
    drain()
    assert sorted(states(run_id).values()) == ["succeeded", "succeeded", "waiting"]
    send(run_id)
    drain()
    assert state(run_id) == "succeeded"


def test_nobody_takes_a_signal_that_no_step_waits_for() -> None:
    [run_id] = waits()
    assert send(run_id, name="paidd") == []
    send(run_id)
    drain()
    assert send(run_id) == []
    [cancelled] = waits()
    stops.cancel([cancelled], actor=ACTOR)
    assert send(cancelled) == []
    assert Signal.objects.count() == 1


def test_a_signal_sent_twice_under_one_key_answers_the_first_one_for_ever() -> None:
    [run_id] = waits()
    [first] = send(run_id, payload=1, once="event-7")
    assert first.created
    drain()
    assert state(run_id) == "succeeded"
    assert send(run_id, payload=2, once="event-7") == [Sent(first.id, run_id, created=False)]
    assert Signal.objects.count() == 1


def test_a_wait_that_nobody_ends_times_out_into_a_dead_letter_and_a_retry_waits_anew() -> None:
    [run_id] = waits(timeout="1h")
    past()
    drain()
    assert state(run_id) == "failed"
    dead_letter = DeadLetter.objects.get()
    assert (dead_letter.reason, dead_letter.error["kind"]) == ("timed_out", "timeout")
    assert "nobody sent signal 'paid' within 3600 s" in dead_letter.error["message"]
    assert steps(run_id)["pay"].attempts[0]["outcome"] == "timed_out"
    retries.retry([run_id], actor=ACTOR)
    drain()
    row = steps(run_id)["pay"]
    assert (row.state, row.attempt, row.error) == ("waiting", 2, None)
    send(run_id)
    drain()
    assert state(run_id) == "succeeded"


def test_a_timeout_takes_the_expiry_route_where_there_is_one() -> None:
    flow = """
name: route
steps:
  - {id: pay, action: wait_for_signal, with: {name: paid, timeout: 1h}, on_error: "goto:remind"}
  - {id: ship, needs: [pay], action: default}
  - {id: remind, action: default}
"""
    [run_id] = begun(published(flow), {})
    drain()
    past()
    drain()
    assert states(run_id) == {"pay": "failed", "ship": "skipped", "remind": "succeeded"}
    assert not DeadLetter.objects.exists()


def test_a_timeout_is_an_output_where_the_step_continues() -> None:
    [run_id] = waits(timeout="1h", on_timeout="continue")
    past()
    drain()
    assert output(run_id) == {"timed_out": True}
    assert state(run_id) == "succeeded"


def test_a_timed_out_wait_is_repeated_where_its_policy_says_so() -> None:
    flow = published(
        "name: again\nsteps: [{id: pay, action: wait_for_signal, with: {name: paid, timeout: 1h},"
        " retry: {max_attempts: 2, initial: 0s}}]"
    )
    [run_id] = begun(flow, {})
    drain()
    past()
    drain()
    assert (steps(run_id)["pay"].state, steps(run_id)["pay"].attempt) == ("waiting", 2)
    past()
    drain()
    assert state(run_id) == "failed"


def test_a_signal_before_the_moment_wins_and_after_it_nobody_does() -> None:
    [run_id] = waits(timeout="1h", on_timeout="continue")
    send(run_id, payload=1)
    past()
    drain()
    assert output(run_id)["payload"] == 1
    [late] = waits(timeout="1h", on_timeout="continue")
    past()
    drain()
    assert send(late) == []


def test_a_key_finds_the_runs_that_wait_with_it() -> None:
    one, other, twin = waits({"n": 1}, {"n": 2}, {"n": 1}, key="{{ input.n }}")
    sent = send_by_key("1", payload="x")
    assert {each.run_id for each in sent} == {one, twin}
    drain()
    assert [state(run_id) for run_id in (one, other, twin)] == ["succeeded", "waiting", "succeeded"]
    assert [len(send(other)), len(send(other))] == [1, 0]


def test_a_signal_by_key_that_comes_first_is_kept_for_one_run_until_it_expires() -> None:
    [sent] = send_by_key("7", payload="x")
    assert sent.run_id is None
    flow = published(paid(key="{{ input.n }}"))
    one, second = begun(flow, {"n": 7}, {"n": 7})
    drain()
    assert sorted([state(one), state(second)]) == ["succeeded", "waiting"]
    row = Signal.objects.get()
    assert row.run_id in (one, second)
    send_by_key("8")
    Signal.objects.filter(key="8").update(expires_at=F("expires_at") - 8 * DAY)
    [late] = begun(flow, {"n": 8})
    drain()
    assert state(late) == "waiting"
    assert (signals.forget(), Signal.objects.count()) == (1, 1)


def test_a_signal_by_key_sent_twice_under_one_idempotency_key_changes_nothing() -> None:
    [first] = send_by_key("7", once="event-1")
    assert send_by_key("7", once="event-1") == [Sent(first.id, None, created=False)]
    [run_id] = begun(published(paid(key="7")), {})
    drain()
    assert send_by_key("7", once="event-1") == [Sent(first.id, run_id, created=False)]
    assert state(run_id) == "succeeded"


def test_a_key_of_another_workspace_wakes_nobody() -> None:
    [run_id] = waits(key="7")
    stranger = workspace("stranger")
    signals.send_by_key("7", workspace_id=stranger.pk, message=Message("paid"), actor=ACTOR)
    assert state(run_id) == "waiting"
    [also] = waits(key="7")
    assert state(also) == "waiting"


def test_a_name_that_is_none_fails_the_step_and_says_why() -> None:
    [run_id] = begun(published(paid(name="{{ input.n }}")), {"n": ":approval"})
    drain()
    error = the_run(run_id).error
    assert error is not None
    assert (error["kind"], error["step"]) == ("config", "pay")
    assert "is no signal name" in error["message"]


def test_a_step_whose_name_is_known_at_run_time_only_may_be_told_before_it_waits() -> None:
    [run_id] = begun(published(paid(name="{{ input.n }}")), {"n": "late"})
    assert len(send(run_id, name="late")) == 1
    drain()
    assert state(run_id) == "succeeded"


def test_a_suspect_parks_too_though_it_is_claimed() -> None:
    [run_id] = begun(published(paid(key="9")), {})
    Run.objects.get(pk=run_id).tickets.update(suspect=True, knock_at=Now())
    send(run_id)
    drain()
    deliver()
    assert state(run_id) == "succeeded"


def test_a_hundred_keyed_waits_cost_as_many_statements_as_one() -> None:
    flow = published(paid(key="{{ input.n }}"))
    counts = []
    for size in (1, 100):
        begun(flow, *[{"n": size} for _ in range(size)])
        drain()
        with observed() as seen:
            assert len(send_by_key(str(size))) == size
        counts.append(len(seen))
        drain()
    assert counts[0] == counts[1]
    assert not Run.objects.exclude(state="succeeded").exists()


def test_a_run_on_its_way_to_its_end_keeps_no_signal_for_work_that_will_not_come() -> None:
    flow = published(
        """
name: stopping
steps:
  - {id: nap, action: wait, with: {for: 1h}}
  - {id: pay, action: wait_for_signal, with: {name: paid}}
on_failure: [{id: never, action: wait_for_signal, with: {name: sorry}}]
finally:
  - {id: rest, action: wait, with: {for: 1h}}
  - {id: shut, needs: [rest], action: wait_for_signal, with: {name: shut}}
"""
    )
    [run_id] = begun(flow)
    drain()
    stops.cancel([run_id], actor=ACTOR)
    drain()
    assert (state(run_id), the_run(run_id).ending) == ("waiting", "cancelled")
    for name in ("paid", "sorry"):
        assert signals.send([run_id], message=Message(name), actor=ACTOR) == []
        assert f"no step that may still come waits for signal '{name}'" in cannot_signal(run_id, "waiting", name=name)
    [sent] = signals.send([run_id], message=Message("shut"), actor=ACTOR)
    past()
    drain()
    assert state(run_id) == "cancelled"
    assert Signal.objects.get(pk=sent.id).step == "shut"
