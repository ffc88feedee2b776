"""What goes wrong around the engine: versions, messages and leases that cannot be used, actions that end oddly."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.conf import LazySettings
from django.db import DatabaseError, connection, transaction
from django.db.models import F
from django.db.models.functions import Now

from actions import registry
from actions.base import Action, Config, Context, Json, Permanent
from runs.dispatch import dispatcher, window
from runs.domain.outcomes import HeldClaim, Outcome, RunFacts, StepResult
from runs.domain.states import StepState
from runs.engine import lease, record
from runs.maintenance.sweep import sweep
from runs.models import DeadLetter, Process, Ticket
from runs.planning import plan
from runs.queries import database
from runs.worker import delivery
from tests.engine import claim, deliver, drain, messages, perform, state
from tests.flows import begun, published, queued, states, steps, the_run
from tests.runs.engine.test_engine_failures import past
from workflows.models import Version

pytestmark = pytest.mark.django_db(transaction=True)

MINUTE = timedelta(minutes=1)


def broken(version: Version) -> None:
    """Make a version's stored definition one that this code cannot read, as an older or newer code's might be."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE workflows_version DISABLE TRIGGER USER")
        cursor.execute("UPDATE workflows_version SET definition = '{\"steps\": 1}' WHERE id = %s", [version.pk])
        cursor.execute("ALTER TABLE workflows_version ENABLE TRIGGER USER")
    plan.load.cache_clear()


def test_what_is_under_way_goes_before_what_is_new(settings: LazySettings) -> None:
    settings.PURE_BATCH_RUNS = settings.EFFECTFUL_BATCH_RUNS = settings.DISPATCH_WINDOW_MESSAGES = 1
    flow = published(
        """
name: line
steps:
  - {id: a, action: default}
  - {id: b, needs: [a], action: default}
  - {id: c, needs: [a], action: default}
"""
    )
    first, *_, last = begun(flow, *({} for _ in range(6)))
    for _ in range(4):
        dispatcher.dispatch()
        deliver()
    assert state(first) == "succeeded"
    assert state(last) == "queued"
    drain()
    assert state(last) == "succeeded"


def test_a_version_that_cannot_be_read_holds_back_no_other() -> None:
    bad = published("name: unreadable\nsteps: [{id: a, action: sleep, with: {seconds: 0}}]")
    [stuck] = begun(bad)
    messages()
    past()
    broken(bad.version)
    [fine] = begun(published("name: readable\nsteps: [{id: a, action: default}]"))
    drain()
    assert state(fine) == "succeeded"
    assert state(stuck) == "running"
    assert Ticket.objects.get(run_id=stuck).knock_at > Ticket.objects.get(run_id=stuck).due_at


def test_a_step_of_a_version_that_cannot_be_read_does_not_stop_the_sweep() -> None:
    waiting = "steps: [{id: nap, action: wait, with: {for: 30m}}]"
    bad = published(f"name: unreadable-wait\n{waiting}")
    [stuck] = begun(bad)
    [fine] = begun(published(f"name: readable-wait\ndescription: other\n{waiting}"))
    drain()
    broken(bad.version)
    past()
    assert sweep().woken == 1
    assert (state(stuck), state(fine)) == ("waiting", "succeeded")


@pytest.mark.parametrize(
    ("texts", "head"),
    [(["no id"], "a"), ([f"{uuid4()}/x"], "a"), ([str(uuid4())], "gone"), ([str(uuid4())], "a")],
)
def test_a_message_that_makes_no_sense_is_ignored(texts: list[str], head: str) -> None:
    found = published("name: sense\nsteps: [{id: a, action: default}]")
    assert delivery.deliver(texts, version_id=found.version.pk, head=head) == ("", [])
    assert delivery.deliver(texts, version_id=uuid4(), head=head) == ("", [])


def test_a_run_that_a_message_names_twice_is_taken_once() -> None:
    found = published("name: named-twice\nsteps: [{id: a, action: default}]")
    [run_id] = begun(found)
    messages()
    delivery.deliver([str(run_id)] * 2, version_id=found.version.pk, head="a")
    assert state(run_id) == "succeeded"


def test_a_lease_that_could_not_be_written_is_tried_again() -> None:
    [run_id] = begun(published("name: no-lease\nsteps: [{id: a, action: sleep, with: {seconds: 0}}]"))
    found = messages()
    lease.give_up()
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE runs_process RENAME TO runs_process_away")
    try:
        perform(found[0])
        assert states(run_id) == {}, "its message is retried"
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE runs_process_away RENAME TO runs_process")
    perform(found[0])
    assert state(run_id) == "succeeded"


class _Odd(Action[Config]):
    """Ends in the ways in which Python code may end."""

    name = "odd"
    config_class = Config

    def perform(self, config: Config, context: Context) -> Json:
        end = context.input["end"] if isinstance(context.input, dict) else ""
        if end == "exit":
            sys.exit("an action's own idea")
        if end == "memory":
            raise MemoryError
        if end == "long":
            raise Permanent("x" * 20_000_000)
        raise _Mute


class _Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class _OddPure(_Odd):
    pure = True


@pytest.fixture
def odd_actions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two more actions, as a user's own package would add them."""
    monkeypatch.setitem(registry.ACTIONS, "odd", f"{__name__}._Odd")
    monkeypatch.setitem(registry.ACTIONS, "odd_pure", f"{__name__}._OddPure")


@pytest.mark.usefixtures("odd_actions")
@pytest.mark.parametrize(
    ("action", "ends"),
    [("odd", ["exit", "memory", "long", "mute"]), ("odd_pure", ["memory", "long", "mute"])],
)
def test_however_an_action_ends_its_step_fails_and_no_other(action: str, ends: list[str]) -> None:
    flow = published(f"name: {action}\nsteps: [{{id: a, action: {action}, retry: {{max_attempts: 1}}}}]")
    runs = begun(flow, *({"end": end} for end in ends))
    drain()
    assert [state(run_id) for run_id in runs] == ["failed"] * len(ends)
    assert all(len(str(the_run(run_id).error)) < 30_000 for run_id in runs)


def test_an_attempt_that_was_lost_does_not_count_against_the_retry_policy() -> None:
    flow = published(
        "name: lost-then-flaky\n"
        "steps: [{id: a, action: flaky, with: {failure_rate: 1}, retry: {max_attempts: 2, initial: 1s}}]"
    )
    [run_id] = begun(flow)
    messages()
    claim(run_id, "a", process=lease.current())
    Process.objects.update(expires_at=F("expires_at") - MINUTE)
    lease.give_up()
    assert sweep().rescued == 1
    drain()
    assert states(run_id) == {"a": "retrying"}
    past()
    drain()
    row = steps(run_id)["a"]
    assert (row.state, row.attempt) == ("failed", 3)
    assert [tried["outcome"] for tried in row.attempts] == ["lost", "failed", "failed"]
    assert DeadLetter.objects.get(run_id=run_id).reason == "failed"


@pytest.mark.parametrize("count", [1, 200, 1000])
def test_no_message_is_larger_than_32_kb(count: int, settings: LazySettings) -> None:
    settings.PURE_BATCH_RUNS = settings.EFFECTFUL_BATCH_RUNS = 1000
    lines = "\n".join(f"  - {{id: {f's{n}_':x<64}, action: sleep, with: {{seconds: 0}}}}" for n in range(60))
    begun(published(f"name: long-{count}\nsteps:\n{lines}"), *({} for _ in range(count)))
    sizes = [len(message) for message in window._client().lrange(window._queue(), 0, -1)]
    assert sizes
    assert max(sizes) <= 32 * 1024


def test_the_failure_of_an_earlier_branch_is_told_in_its_own_words() -> None:
    flow = published(
        """
name: early-failure
steps:
  - {id: a, action: default}
  - {id: early, needs: [a], action: fail, with: {message: out of paper}}
  - {id: nap, needs: [a], action: wait, with: {for: 30m}}
"""
    )
    [run_id] = begun(flow)
    drain()
    past()
    drain()
    error: Any = the_run(run_id).error
    assert (error["step"], error["kind"], error["message"]) == ("early", "fail", "out of paper")


def test_a_worker_that_comes_back_late_does_not_record_over_the_one_that_took_its_step() -> None:
    found = published("name: zombie\nsteps: [{id: a, action: sleep, with: {seconds: 0}}]")
    [run_id] = begun(found)
    messages()
    loaded = plan.load(found.version.pk)
    frozen = lease.current()
    claim(run_id, "a", process=frozen)
    late = Outcome(
        run=RunFacts(id=run_id, input={}, began=0.0),
        fence=HeldClaim(attempt=1, process=frozen),
        results=(StepResult(step="a", state=StepState.SUCCEEDED, output="late"),),
    )
    Process.objects.update(expires_at=F("expires_at") - MINUTE)
    lease.give_up()
    assert sweep().rescued == 1
    claim(run_id, "a", process=lease.current())
    assert states(run_id) == {"a": "running"}
    assert record.record([late], plan=loaded).won == frozenset()
    assert states(run_id) == {"a": "running"}


def test_what_was_picked_is_sent_also_where_admission_fails() -> None:
    flow = published("name: picked\nsteps: [{id: a, action: noop}]")
    [run_id] = begun(flow)
    messages()
    Ticket.objects.update(knock_at=Now())
    queued(flow)

    def fail(name: str) -> None:
        if name == "admit":
            raise DatabaseError("canceling statement due to statement timeout")

    database._observers.append(fail)
    try:
        assert dispatcher.dispatch() == 1
    finally:
        database._observers.remove(fail)
    [(_, (args, *_))] = messages()
    assert args == [[str(run_id)]]


def test_a_start_within_a_transaction_asks_the_broker_nothing() -> None:
    flow = published("name: within\nsteps: [{id: a, action: noop}]")
    window._last.until = 0.0
    with transaction.atomic():
        [run_id] = begun(flow)
        assert window._last.until == 0.0
        assert state(run_id) == "queued"
    drain()
    assert state(run_id) == "succeeded"
