"""Pause and resume: of a run, and of a workflow with all its runs."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any
from uuid import UUID

import psycopg
import pytest
from django.db import transaction
from django.db.models import F

from runs.control import inserts, pauses, retries, stops
from runs.control import replays as control
from runs.dispatch import admission
from runs.domain import requests
from runs.domain.actor import Actor
from runs.domain.outcomes import Death
from runs.engine import lease, tickets
from runs.maintenance.sweep import children_died, rescue, sweep
from runs.models import Intervention, Process, Run, Ticket, WorkflowIntervention
from runs.queries.database import Row, observed
from tests.engine import claim, deliver, drain, link_by_link, messages, perform, state
from tests.flows import begun, owner, published, queued, states, the_run
from tests.runs.engine.test_engine_failures import HOUR, past
from tests.runs.locks import in_thread, locked_run, other_connection, wait_for_waiter
from tests.waiting import wait_for
from workflows.models import Workflow
from workflows.publishing.publish import Published

pytestmark = pytest.mark.django_db(transaction=True)

TWO = """
name: two
steps:
  - {id: a, action: default}
  - {id: nap, action: sleep, with: {seconds: 0}}
  - {id: b, action: default}
"""
FLAKY = """
name: flaky
steps: [{id: a, action: flaky, with: {failure_rate: 1}, retry: {max_attempts: 2, initial: 1h, max: 1h}}]
"""


def actor() -> Actor:
    return Actor(user_id=owner().pk, reason="a while")


def pause(*run_ids: UUID) -> frozenset[UUID]:
    return pauses.pause(run_ids, actor=actor())


def resume(*run_ids: UUID) -> frozenset[UUID]:
    return pauses.resume(run_ids, actor=actor())


def test_a_paused_run_stands_still_whatever_is_delivered_and_goes_on_when_resumed() -> None:
    held, free = begun(published(TWO), {}, {})
    assert pause(held) == {held}
    drain()
    sweep()
    drain()
    assert (state(held), states(held), state(free)) == ("running", {}, "succeeded")
    assert resume(held) == {held}
    drain()
    assert state(held) == "succeeded"
    assert list(Intervention.objects.order_by("id").values_list("verb", "why")) == [
        ("pause", "a while"),
        ("resume", "a while"),
    ]


def test_a_paused_queued_run_is_not_admitted() -> None:
    [held, free] = queued(published(TWO), {}, {})
    pause(held)
    drain()
    assert (state(held), state(free)) == ("queued", "succeeded")
    resume(held)
    drain()
    assert state(held) == "succeeded"


def test_pause_and_resume_win_once_and_never_a_run_that_has_ended() -> None:
    [run_id, ended] = begun(published(TWO), {}, {})
    stops.cancel([ended], actor=actor())
    assert resume(run_id, ended) == frozenset()
    assert pause(run_id, ended) == {run_id}
    since = the_run(run_id).paused_at
    assert pause(run_id) == frozenset()
    assert the_run(run_id).paused_at == since
    assert resume(run_id) == {run_id}
    assert resume(run_id) == frozenset()
    assert Intervention.objects.exclude(verb="cancel").count() == 2


def test_a_retry_keeps_its_delay_through_a_pause() -> None:
    [run_id] = begun(published(FLAKY))
    drain()
    before = Ticket.objects.get()
    pause(run_id)
    resume(run_id)
    after = Ticket.objects.get()
    assert (after.id, after.due_at) == (before.id, before.due_at)
    drain()
    assert states(run_id) == {"a": "retrying"}


def test_a_delay_that_passes_during_a_pause_is_over_when_it_ends() -> None:
    [run_id] = begun(published(FLAKY))
    drain()
    pause(run_id)
    past()
    past()
    drain()
    assert states(run_id) == {"a": "retrying"}
    resume(run_id)
    drain()
    assert state(run_id) == "failed"


def test_a_step_that_runs_when_its_run_is_paused_is_recorded_and_what_follows_is_held() -> None:
    [run_id] = begun(published(TWO))
    with link_by_link():
        deliver()
    [nap] = messages()
    with locked_run(run_id) as other, in_thread(lambda: perform(nap)):
        # The step was claimed and performed, and its record waits; whoever holds the run pauses it.
        wait_for_waiter()
        other.execute("UPDATE runs_run SET paused_at = now(), paused_through = 'run' WHERE id = %s", [run_id])
        other.commit()
    assert states(run_id) == {"a": "succeeded", "nap": "succeeded"}
    drain()
    assert states(run_id) == {"a": "succeeded", "nap": "succeeded"}
    resume(run_id)
    drain()
    assert state(run_id) == "succeeded"


NAP = "name: nap\nsteps: [{id: a, action: sleep, with: {seconds: 0}}]"


def until_somebody_waits(watcher: psycopg.Connection[Any]) -> None:
    """From inside a transaction of this test's own, in which pg_stat_activity stands still."""
    watcher.autocommit = True
    waits = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    wait_for(lambda: watcher.execute(waits).fetchone(), what="somebody who waits for a lock")


def claimed(run_id: UUID, *, process: UUID) -> list[Row]:
    return claim(run_id, "a", process=process)


def test_a_claim_that_waits_for_a_pause_takes_nothing() -> None:
    [run_id] = begun(published(NAP))
    me = lease.current()
    won: list[Row] = []
    with other_connection() as watcher, ExitStack() as stack, transaction.atomic():
        pause(run_id)
        stack.enter_context(in_thread(lambda: won.extend(claimed(run_id, process=me))))
        until_somebody_waits(watcher)
    assert won == []
    assert states(run_id) == {}


def test_a_pause_that_waits_for_a_claim_leaves_what_it_took() -> None:
    [run_id] = begun(published(NAP))
    me = lease.current()
    won: list[frozenset[UUID]] = []
    with other_connection() as watcher, ExitStack() as stack, transaction.atomic():
        claimed(run_id, process=me)
        stack.enter_context(in_thread(lambda: won.append(pause(run_id))))
        until_somebody_waits(watcher)
    assert won == [{run_id}]
    assert states(run_id) == {"a": "running"}
    Process.objects.update(expires_at=F("expires_at") - HOUR)
    rescue()
    drain()
    assert states(run_id) == {"a": "retrying"}, "taken back, and held"
    lease.give_up()
    resume(run_id)
    drain()
    assert state(run_id) == "succeeded"


def test_an_admission_does_not_take_a_run_that_is_being_paused() -> None:
    run_id = begin_queued(published(NAP))
    with locked_run(run_id):
        assert admission.admit(limit=10) == []
    pause(run_id)
    assert admission.admit(limit=10) == []
    resume(run_id)
    assert state(run_id) == "running"


def begin_queued(flow: Published) -> UUID:
    """A run that no dispatch has seen."""
    request = requests.Request(input={})
    [started] = inserts.start(inserts.Batch([request], flow.version, flow.workflow, "test"))
    return started.run_id


def test_a_message_that_was_picked_and_not_sent_does_not_undo_a_pause() -> None:
    [run_id] = begun(published(NAP))
    ticket = Ticket.objects.get().id
    pause(run_id)
    tickets.unsend([ticket])
    children_died([Death(pid=None, runs=(str(run_id),), head="a")])
    drain()
    assert states(run_id) == {}
    resume(run_id)
    drain()
    assert state(run_id) == "succeeded"


def test_a_wait_that_ends_during_a_pause_is_recorded_and_what_follows_is_held() -> None:
    [run_id] = begun(published("name: w\nsteps: [{id: w, action: wait, with: {for: 30m}}, {id: b, action: default}]"))
    drain()
    pause(run_id)
    assert state(run_id) == "waiting"
    past()
    drain()
    assert (state(run_id), states(run_id)) == ("running", {"w": "succeeded"})
    resume(run_id)
    drain()
    assert state(run_id) == "succeeded"


def test_a_paused_run_can_be_cancelled() -> None:
    [run_id] = begun(published(NAP))
    pause(run_id)
    assert stops.cancel([run_id], actor=actor()) == {run_id}
    run = the_run(run_id)
    assert (run.state, run.paused_at, pauses.of_run(run)) == ("cancelled", None, None)


def test_a_retry_by_hand_lets_a_run_go_on_that_failed_while_it_was_paused() -> None:
    [run_id] = begun(published("name: f\nsteps: [{id: a, action: fail, with: {message: no}}]"))
    [message] = messages()
    with locked_run(run_id) as other, in_thread(lambda: perform(message)):
        wait_for_waiter()
        other.execute("UPDATE runs_run SET paused_at = now(), paused_through = 'run' WHERE id = %s", [run_id])
        other.commit()
    run = the_run(run_id)
    assert (run.state, pauses.of_run(run)) == ("failed", None), "nothing is left to hold"
    retries.retry([run_id], actor=actor())
    assert the_run(run_id).paused_at is None
    deliver()
    assert state(run_id) == "failed"


def test_a_paused_workflow_holds_its_runs_and_those_that_are_started_meanwhile() -> None:
    flow, other = published(TWO), published(NAP)
    [before] = begun(flow)
    assert pauses.pause_workflow(flow.workflow, actor=actor()) == 1
    [later], [free] = begun(flow), begun(other)
    drain()
    assert [state(run_id) for run_id in (before, later, free)] == ["running", "queued", "succeeded"]
    workflow = Workflow.objects.get(pk=flow.workflow.pk)
    told = pauses.of_workflow(workflow)
    assert told is not None
    assert (told.by, told.reason, told.since) == ("owner", "a while", workflow.paused_at)
    held = pauses.of_run(the_run(later))
    assert held is not None
    assert (held.through, held.by) == ("workflow", "owner")
    assert pauses.resume_workflow(flow.workflow, actor=actor()) == 2
    drain()
    assert [state(run_id) for run_id in (before, later)] == ["succeeded", "succeeded"]
    assert list(WorkflowIntervention.objects.order_by("id").values_list("verb", flat=True)) == ["pause", "resume"]


def test_a_run_that_was_paused_itself_stays_so_when_its_workflow_goes_on() -> None:
    flow = published(TWO)
    [itself, both, through] = begun(flow, {}, {}, {})
    pause(itself)
    pauses.pause_workflow(flow.workflow, actor=actor())
    assert pause(both) == {both}, "now also by itself"
    assert pauses.resume_workflow(flow.workflow, actor=actor()) == 1
    drain()
    assert [state(run_id) for run_id in (itself, both, through)] == ["running", "running", "succeeded"]


def test_one_run_of_a_paused_workflow_can_go_on_alone() -> None:
    flow = published(TWO)
    pauses.pause_workflow(flow.workflow, actor=actor())
    [chosen, rest] = begun(flow, {}, {})
    resume(chosen)
    drain()
    assert (state(chosen), state(rest)) == ("succeeded", "queued")


def test_pausing_a_workflow_again_finishes_what_was_cut_short() -> None:
    flow = published(TWO)
    begun(flow, {}, {})
    Workflow.objects.update(paused_at="2026-01-01T00:00Z")
    assert pauses.pause_workflow(flow.workflow, actor=actor()) == 2
    assert pauses.pause_workflow(flow.workflow, actor=actor()) == 0


def test_a_start_that_waits_for_a_pause_of_its_workflow_is_held_by_it() -> None:
    flow = published(TWO)
    with other_connection() as other:
        other.execute("SELECT 1 FROM workflows_workflow WHERE id = %s FOR UPDATE", [flow.workflow.pk])
        with in_thread(lambda: begun(flow)):
            wait_for_waiter()
            other.execute("UPDATE workflows_workflow SET paused_at = now() WHERE id = %s", [flow.workflow.pk])
            other.commit()
    assert Run.objects.get().paused_through == "workflow"


def test_a_pause_waits_for_a_start_that_has_not_seen_it() -> None:
    flow = published(TWO)
    with other_connection() as watcher, ExitStack() as stack, transaction.atomic():
        [run_id] = begun(flow)
        stack.enter_context(in_thread(lambda: pauses.pause_workflow(flow.workflow, actor=actor())))
        until_somebody_waits(watcher)
    assert the_run(run_id).paused_through == "workflow"


def test_a_replay_of_a_paused_workflow_is_held() -> None:
    flow = published(TWO)
    [old] = begun(flow)
    drain()
    pauses.pause_workflow(flow.workflow, actor=actor())
    new = control.replay(old, actor=actor())
    drain()
    assert state(new) == "queued"


def test_a_sweep_with_only_paused_runs_sends_nothing_and_looks_no_further() -> None:
    flow = published(TWO)
    [run_id] = begun(flow)
    pauses.pause_workflow(flow.workflow, actor=actor())
    begun(flow)
    messages()
    with observed() as seen:
        swept = sweep()
    assert seen == ["anything_due"]
    assert swept.sent == 0
    assert state(run_id) == "running"


def test_a_pause_of_the_run_above_leaves_a_sub_workflow_alone_and_holds_what_its_end_releases() -> None:
    child = published("name: child\nsteps: [{id: a, action: default}]")
    [above] = begun(
        published(
            "name: above\nsteps: [{id: call, action: sub_workflow, with: {workflow: child}}, {id: b, action: default}]"
        )
    )
    deliver()
    assert pause(above) == {above}
    drain()
    assert state(Run.objects.get(parent_id=above).pk) == "succeeded"
    assert states(above) == {"call": "succeeded"}
    assert resume(above) == {above}
    drain()
    assert state(above) == "succeeded"
    pauses.pause_workflow(child.workflow, actor=actor())
    [other] = begun(published("name: other\nsteps: [{id: call, action: sub_workflow, with: {workflow: child}}]"))
    drain()
    below = Run.objects.get(parent_id=other)
    assert (below.state, below.paused_through, state(other)) == ("queued", "workflow", "waiting")
    assert stops.cancel([other], actor=actor()) == {other}
    assert state(below.pk) == "cancelled"
