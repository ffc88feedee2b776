"""Steps whose action a deploy took away: they wait for the code, and go on when it is back."""

from __future__ import annotations

from uuid import UUID

import pytest
from django.db.models import F

from actions import registry
from runs.control import stops
from runs.domain import actor
from runs.history import timeline
from runs.maintenance import sweep
from runs.models import DeadLetter, Run, StepRun, Ticket
from runs.planning import plan
from tests.engine import drain
from tests.flows import begun, published, states, steps, the_run
from tests.runs.engine.test_engine_failures import past
from tests.runs.engine.test_engine_faults import broken

pytestmark = pytest.mark.django_db(transaction=True)

FLOW = """
name: deployed
steps:
  - {id: first, action: transform, with: {set: {n: 1}}}
  - {id: gone, action: sleep, with: {seconds: 0}}
  - {id: last, action: transform, with: {set: {n: 2}}}
"""


def removed(monkeypatch: pytest.MonkeyPatch) -> UUID:
    """A run of FLOW that has come to a step whose action this process does not know any more."""
    found = published(FLOW)
    monkeypatch.delitem(registry.ACTIONS, "sleep")
    plan.load.cache_clear()
    [run_id] = begun(found)
    drain()
    return run_id


def brought_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    plan.load.cache_clear()


def test_a_run_waits_at_an_unknown_action_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = removed(monkeypatch)
    run = the_run(run_id)
    assert run.state == "waiting"
    assert states(run_id) == {"first": "succeeded", "gone": "waiting"}
    [_, blocked, _] = timeline.timeline(run)
    assert isinstance(blocked.error, dict)
    assert blocked.error["kind"] == "unknown_action"
    assert "'sleep'" in str(blocked.error["message"])
    assert not DeadLetter.objects.exists()
    brought_back(monkeypatch)


def test_it_goes_on_by_itself_when_the_action_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = removed(monkeypatch)
    brought_back(monkeypatch)
    past()
    drain()
    assert the_run(run_id).state == "succeeded"
    row = steps(run_id)["gone"]
    assert (row.state, row.attempt, row.attempts) == ("succeeded", 1, []), "waiting for the code is no attempt"


def test_it_waits_on_while_the_action_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = removed(monkeypatch)
    before = StepRun.objects.filter(run_id=run_id, step="gone")
    past()
    past_wake = before.values_list("wake_at", flat=True).get()
    drain()
    assert before.filter(wake_at__gt=past_wake).exists()
    assert before.values_list("attempt", "state").get() == (0, "waiting")
    assert the_run(run_id).state == "waiting"
    assert not Ticket.objects.exists()
    brought_back(monkeypatch)


def test_a_run_that_waits_at_an_unknown_action_can_be_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = removed(monkeypatch)
    assert stops.cancel([run_id], actor=actor.Actor()) == {run_id}
    brought_back(monkeypatch)
    drain()
    assert states(run_id)["gone"] == "cancelled"


def test_a_version_that_this_code_cannot_read_keeps_the_sweep_from_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    published("name: late\ntimeout: 1m\nsteps: [{id: nap, action: wait, with: {for: 2h}}]")
    run_id = removed(monkeypatch)
    brought_back(monkeypatch)
    broken(the_run(run_id).version)
    [late] = begun(published("name: late\ntimeout: 1m\nsteps: [{id: nap, action: wait, with: {for: 2h}}]"))
    drain()
    past()
    Run.objects.filter(pk=late).update(deadline=F("started_at"))
    sweep.sweep()
    assert the_run(late).state == "failed", "the sweep's later parts were reached"
    assert steps(run_id)["gone"].state == "waiting"
