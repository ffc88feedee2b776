"""A delivery walks on behind quick steps; its chain goes on behind that; branches of a run are recorded in one set."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db.models import F
from django.db.models.functions import Now

from runs.control import pauses
from runs.domain.actor import Actor
from runs.domain.candidates import Candidate
from runs.domain.outcomes import HeldClaim, Outcome, StepResult
from runs.domain.states import StepState
from runs.engine import executor, lease, onward, record
from runs.engine import recorder as recorders
from runs.models import Process, StepRun, Ticket
from runs.planning import plan as plans
from runs.queries.database import observed
from tests.engine import deliver, drain, messages, settle
from tests.flows import begun, published, states, the_run
from tests.runs.engine import held
from tests.runs.engine.held import FLOW, GRAPH, Held
from tests.runs.engine.test_engine_failures import HOUR, past
from tests.runs.locks import in_thread

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _held(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with held.installed(monkeypatch):
        yield


TEN = "name: ten\nsteps:\n" + "\n".join(f"  - {{id: s{number}, action: held}}" for number in range(10))


@held.patient()
def test_ten_effectful_steps_of_a_run_are_one_message_and_cost_one_transaction_each_and_a_claim() -> None:
    [run_id] = begun(published(TEN))
    with observed() as seen:
        assert deliver() == 1
    assert the_run(run_id).state == "succeeded"
    writes = [name for name in seen if name not in ("peek", "beat")]
    assert writes == ["claim_one", *["path_one_claim"] * 9, "path_one_last"]
    assert not messages()


@held.patient()
def test_a_pure_step_between_effectful_ones_is_performed_by_the_same_delivery() -> None:
    flow = """
name: between
steps:
  - {id: a, action: held}
  - {id: p, action: transform, with: {set: {seen: "{{ steps.a.output.attempt }}"}}}
  - {id: b, action: held}
  - {id: q, action: transform, with: {set: {far: "{{ steps.p.output.seen }}", near: "{{ steps.b.output.attempt }}"}}}
"""
    [run_id] = begun(published(flow))
    with observed() as seen:
        assert deliver() == 1
    assert the_run(run_id).output == {"far": 1, "near": 1}
    assert [name for name in seen if name != "beat"][:2] == ["claim_one", "path_claim"]
    assert "path_whole_claim" in seen, "the pure step's record claims the step behind it"


def test_a_step_reads_what_was_recorded_long_before_the_walk_came_to_it() -> None:
    many = "\n".join(f"  - {{id: s{number}, action: held}}" for number in range(14))
    last = '  - {id: last, action: transform, with: {set: {first: "{{ steps.first.output.n }}"}}}'
    text = f"name: long\nsteps:\n  - {{id: first, action: transform, with: {{set: {{n: 7}}}}}}\n{many}\n{last}"
    [run_id] = begun(published(text))
    drain()
    assert the_run(run_id).output == {"first": 7}


def test_a_run_that_is_paused_is_not_walked_on() -> None:
    [run_id] = begun(published(FLOW), {"hold": True})
    deliver()
    assert pauses.pause([run_id], actor=Actor()) == {run_id}
    Held.let_go.set()
    settle()
    assert states(run_id) == {"a": "succeeded"}
    assert Ticket.objects.filter(run_id=run_id, head="b", due_at__gt=Now() + HOUR).exists()
    pauses.resume([run_id], actor=Actor())
    drain()
    assert the_run(run_id).state == "succeeded"


def test_a_walk_claims_nothing_under_a_lease_that_has_passed() -> None:
    [run_id] = begun(published(FLOW), {"hold": True})
    deliver()
    recorder = recorders.current()
    name = lease.current()
    with in_thread(lambda: None):
        Process.objects.update(expires_at=F("expires_at") - HOUR)
    Held.let_go.set()
    settle()
    assert states(run_id) == {"a": "succeeded"}, "its outcome is recorded: nobody has taken the step over"
    assert StepRun.objects.filter(process=name).count() == 0
    assert recorder.idle
    lease.give_up()
    drain()
    assert the_run(run_id).state == "succeeded"


@held.patient()
def test_a_delivery_whose_time_is_over_hands_its_runs_on_to_the_rest_of_its_chain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(executor, "SHORT_BUDGET_SECONDS", 0.0)
    monkeypatch.setattr(executor, "BUDGET_SECONDS", 0.0)
    [run_id] = begun(published(TEN))
    for number in range(10):
        assert states(run_id) == {f"s{before}": "succeeded" for before in range(number)}
        assert deliver() == 1, "one link of the chain"
    assert the_run(run_id).state == "succeeded"


@held.patient()
def test_a_chain_goes_on_behind_the_links_that_a_delivery_has_walked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "SHORT_BUDGET_SECONDS", 0.0)
    monkeypatch.setattr(executor, "BUDGET_SECONDS", 0.5)
    naps = "\n".join(f"  - {{id: s{number}, action: sleep, with: {{seconds: 0.1}}}}" for number in range(12))
    [run_id] = begun(published(f"name: chained\nsteps:\n{naps}"))
    with observed() as seen:
        assert deliver() == 1
        walked = len(states(run_id))
        assert 1 < walked < 12
        assert deliver() == 1, "the chain's message for the link behind"
    assert "pick" not in seen, "dispatch had nothing to send"
    drain()
    assert the_run(run_id).state == "succeeded"
    assert set(StepRun.objects.values_list("attempt", flat=True)) == {1}


def test_branches_of_a_run_that_end_in_one_set_release_their_join_once() -> None:
    flow = published(GRAPH)
    [run_id] = begun(flow)
    deliver()
    messages()
    me = lease.current()
    plan = plans.load(flow.version.pk)
    work = onward.claimed([Candidate(run_id, -1, head) for head in "bcd"], plan=plan, process=me)
    outcomes = [
        Outcome(one.run, HeldClaim(1, me), (StepResult(head, StepState.SUCCEEDED, {}),), one.steps)
        for head, one in work
    ]
    with observed() as seen:
        recorded = record.record(outcomes, plan=plan)
    assert (seen.count("fence_claim"), seen.count("release")) == (1, 1), "all in one set"
    assert {one.head for one in recorded.won} == set("bcd")
    assert list(Ticket.objects.values_list("head", flat=True)) == ["join"]
    assert record.record(outcomes, plan=plan).won == frozenset()
    past()
    drain()
    assert the_run(run_id).state == "succeeded"
    assert set(StepRun.objects.values_list("attempt", flat=True)) == {1}


def test_branches_of_which_one_fails_are_decided_together() -> None:
    flow = published(GRAPH.replace("needs: [b, c, d]", "needs: [b, c, d], join: all_done"))
    [run_id] = begun(flow)
    deliver()
    messages()
    me = lease.current()
    plan = plans.load(flow.version.pk)
    work = onward.claimed([Candidate(run_id, -1, head) for head in "bcd"], plan=plan, process=me)
    failed = StepResult("c", StepState.FAILED, error={"message": "no"}, dead_reason="failed")
    results = {head: StepResult(head, StepState.SUCCEEDED, {}) for head in "bd"} | {"c": failed}
    record.record([Outcome(one.run, HeldClaim(1, me), (results[head],), one.steps) for head, one in work], plan=plan)
    drain()
    assert states(run_id)["join"] == "succeeded"
    assert the_run(run_id).state == "failed"
