"""Promises that need a test of their own, because the others hold even where these are broken."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID

import pytest
from django.conf import LazySettings
from django.db import connection, transaction
from django.db.models import F
from uuid_utils.compat import uuid7

from actions import network
from runs.dispatch import dispatcher, unsent, window
from runs.domain.outcomes import Death
from runs.engine import lease
from runs.maintenance import suspects, sweep
from runs.models import DeadLetter, Process, Ticket
from runs.queries.database import observed
from tests.actions.http_server import serving
from tests.engine import claim, deliver, drain, messages, perform, state
from tests.flows import begun, published, queued, states, steps, the_run
from tests.runs.engine.test_engine_failures import past

pytestmark = pytest.mark.django_db(transaction=True)

MINUTE = timedelta(minutes=1)
NAP = "name: {}\nsteps: [{{id: a, action: sleep, with: {{seconds: 0}}}}]"


@contextmanager
def _no_ticket_can_be_written() -> Iterator[None]:
    """Whoever inserts one is told that he is the victim of a deadlock."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'not now' USING ERRCODE = '40P01'; END $$;"
            "CREATE TRIGGER refuse BEFORE INSERT ON runs_ticket EXECUTE FUNCTION refuse()"
        )
        try:
            yield
        finally:
            cursor.execute("DROP TRIGGER refuse ON runs_ticket; DROP FUNCTION refuse()")


def test_a_start_that_is_rolled_back_has_sent_nothing() -> None:
    flow = published(NAP.format("undone"))
    with transaction.atomic():
        begun(flow)
        assert messages() == []
        transaction.set_rollback(True)
    assert messages() == []


@pytest.mark.parametrize("start", [begun, queued], ids=["begun with its start", "queued before"])
def test_the_knock_of_a_lost_message_is_repeated_within_a_minute(start: Callable[..., list[UUID]]) -> None:
    [run_id] = start(published(NAP.format("lost-message")))
    if start is queued:
        assert dispatcher.dispatch() == 1
    assert len(messages()) == 1
    Ticket.objects.filter(run_id=run_id).update(knock_at=F("knock_at") - MINUTE)
    assert dispatcher.dispatch() == 1
    deliver()
    assert state(run_id) == "succeeded"


def test_a_lease_that_has_passed_is_never_renewed() -> None:
    process = uuid7()
    assert lease.beat(process)
    Process.objects.filter(id=process).update(expires_at=F("expires_at") - MINUTE)
    assert not lease.beat(process)


@pytest.mark.parametrize("passed", [True, False], ids=["passed", "live by the database's clock"])
def test_a_process_that_was_frozen_asks_whether_its_name_still_counts(*, passed: bool) -> None:
    lease.give_up()
    [run_id] = begun(published(NAP.format("frozen")))
    before = lease.current()
    # As after SIGSTOP and SIGCONT, before its thread comes to beat.
    lease._lease.passes_at = 0.0
    if passed:
        Process.objects.filter(id=before).update(expires_at=F("expires_at") - MINUTE)
    deliver()
    assert state(run_id) == "succeeded"
    assert (lease.current() == before) is not passed


def test_a_message_that_comes_before_a_retry_is_due_claims_nothing() -> None:
    flow = published(
        "name: hasty\nsteps: [{id: a, action: flaky, with: {failure_rate: 1}, retry: {max_attempts: 3, initial: 30s}}]"
    )
    [run_id] = begun(flow)
    [message] = messages()
    perform(message)
    assert states(run_id) == {"a": "retrying"}
    perform(message)
    assert (steps(run_id)["a"].state, steps(run_id)["a"].attempt) == ("retrying", 1)


def test_a_step_that_loses_its_process_each_time_is_given_up_after_three_deaths_alone() -> None:
    [run_id] = begun(published(NAP.format("poison")))
    for _ in range(4):
        claim(run_id, "a", process=lease.current())
        Process.objects.update(expires_at=F("expires_at") - MINUTE)
        lease.give_up()
        sweep.rescue()
    assert DeadLetter.objects.get(run_id=run_id).reason == "poison"
    assert the_run(run_id).state == "failed"


def test_what_a_dead_child_had_in_hand_is_sent_again_alone() -> None:
    ids = begun(published("name: in-hand\nsteps: [{id: a, action: default}]"), {}, {}, {})
    [message] = messages()
    sweep.children_died([Death(pid=os.getpid(), runs=tuple(message[1][0][0]), head="a")])
    assert dispatcher.dispatch() == 0, "no message is sent for suspects"
    with observed() as seen:
        assert suspects.perform_due() == len(ids)
    assert seen.count("claim_one") == len(ids), "each is claimed by itself, although it is pure"
    assert {the_run(run_id).state for run_id in ids} == {"succeeded"}


def test_what_a_child_picked_and_did_not_live_to_send_is_sent_at_once() -> None:
    ids = queued(published("name: picked\nsteps: [{id: a, action: default}]"), {}, {}, {})
    child = os.fork()
    if not child:
        with unsent.noted():
            os._exit(0)
    os.waitpid(child, 0)
    assert sum(len(message) for message in dispatcher.take(8, spread=1)) == 3
    window.forget()

    def children_died(pid: int) -> int:
        sweep.children_died([Death(pid=pid, runs=(), head="a")])
        return dispatcher.dispatch()

    assert children_died(os.getpid()) == 0, "who died otherwise had sent what it picked"
    assert children_died(child) == 1
    assert children_died(child) == 0
    assert deliver() == 1
    assert {the_run(run_id).state for run_id in ids} == {"succeeded"}


def test_a_record_that_breaks_in_the_middle_is_undone_and_done_again() -> None:
    flow = published(
        """
name: broken-record
steps:
  - {id: a, action: default}
  - {id: b, needs: [a], action: default}
  - {id: c, needs: [a], action: default}
"""
    )
    [run_id] = begun(flow)
    [message] = messages()
    with _no_ticket_can_be_written():
        perform(message)
        assert states(run_id) == {}
        assert Ticket.objects.filter(run_id=run_id, head="a").count() == 1
    past()
    drain()
    assert state(run_id) == "succeeded"


def test_every_attempt_bears_the_same_key(settings: LazySettings) -> None:
    with serving() as server:
        network.configure([f"127.0.0.1:{server.port}"])
        try:
            flow = published(
                f"name: keys\nsteps: [{{id: a, action: http_request, with: {{url: '{server.url('/status/503')}'}},"
                " retry: {max_attempts: 3}}]"
            )
            [first, second] = begun(flow, {}, {})
            for _ in range(3):
                drain()
                past()
        finally:
            network.configure(settings.OUTBOUND_ALLOW)
        keys = [asked["headers"]["idempotency-key"] for asked in server.asked]
    assert len(keys) == 6
    assert len(set(keys)) == 2
    assert states(first) == states(second) == {"a": "failed"}
