"""Forks and joins: released once, by the rule, and skipped where they can no longer hold."""

from __future__ import annotations

import itertools

import pytest

from runs.domain.candidates import Candidate
from runs.domain.outcomes import HeldTicket, Outcome, RunFacts, StepResult
from runs.domain.states import StepState
from runs.engine.record import record
from runs.models import StepRun, Ticket
from runs.planning.plan import load
from tests.engine import deliver, drain
from tests.flows import begun, published, states, steps, the_run

pytestmark = pytest.mark.django_db(transaction=True)

DIAMOND = """
name: diamond
steps:
  - {id: a, action: default}
  - {id: b, action: transform, needs: [a], with: {set: {side: left}}}
  - {id: c, action: transform, needs: [a], with: {set: {side: right}}}
  - {id: d, action: default, needs: [b, c]}
"""


def test_a_join_gets_the_outputs_of_its_parents_by_name() -> None:
    [run_id] = begun(published(DIAMOND), {"x": 1})
    drain()
    assert the_run(run_id).state == "succeeded"
    assert steps(run_id)["d"].output == {"b": {"side": "left"}, "c": {"side": "right"}}
    assert the_run(run_id).output == {"b": {"side": "left"}, "c": {"side": "right"}}


def test_several_leaves_make_an_output_by_step() -> None:
    flow = published(
        """
name: leaves
steps:
  - {id: a, action: default}
  - {id: b, needs: [a], action: transform, with: {set: {n: 1}}}
  - {id: c, needs: [a], action: transform, with: {set: {n: 2}}, if: "input.both"}
"""
    )
    both, one = begun(flow, {"both": True}, {"both": False})
    drain()
    assert the_run(both).output == {"b": {"n": 1}, "c": {"n": 2}}
    assert the_run(one).output == {"b": {"n": 1}}


def test_an_if_else_diamond_joins_after_the_branch_taken() -> None:
    flow = published(
        """
name: either
steps:
  - {id: check, action: condition, with: {expression: "input.age >= 18"}}
  - {id: adult, needs: [check], if: "steps.check.output.result", action: default}
  - {id: minor, needs: [check], if: "not steps.check.output.result", action: default}
  - {id: end, needs: [adult, minor], join: none_failed, action: default}
"""
    )
    old, young = begun(flow, {"age": 20}, {"age": 2})
    drain()
    assert states(old) == {"check": "succeeded", "adult": "succeeded", "minor": "skipped", "end": "succeeded"}
    assert states(young) == {"check": "succeeded", "adult": "skipped", "minor": "succeeded", "end": "succeeded"}


@pytest.mark.parametrize(
    ("join", "left", "right", "wanted"),
    [
        ("all_succeeded", "default", "default", "succeeded"),
        ("all_succeeded", "default", "fail", "skipped"),
        ("none_failed", "default", "fail", "skipped"),
        ("all_done", "fail", "fail", "succeeded"),
        ("any_succeeded", "default", "fail", "succeeded"),
        ("any_succeeded", "fail", "fail", "skipped"),
        ("any_failed", "default", "fail", "succeeded"),
        ("any_failed", "default", "default", "skipped"),
    ],
)
def test_a_join_runs_by_its_rule(join: str, left: str, right: str, wanted: str) -> None:
    flow = published(
        f"""
name: join-{join}-{left}-{right}
steps:
  - {{id: a, action: default}}
  - {{id: l, needs: [a], action: {left}}}
  - {{id: r, needs: [a], action: {right}}}
  - {{id: j, needs: [l, r], join: {join}, action: default}}
  - {{id: after, needs: [j], action: default}}
"""
    )
    [run_id] = begun(flow)
    drain()
    assert states(run_id)["j"] == wanted
    assert states(run_id)["after"] == wanted
    assert the_run(run_id).state == ("failed" if "fail" in (left, right) else "succeeded")
    assert not Ticket.objects.exists()


def test_a_handled_failure_goes_on_with_the_error_as_output() -> None:
    flow = published(
        """
name: handled
steps:
  - {id: a, action: fail, with: {message: away}, on_error: continue}
  - {id: b, action: default}
"""
    )
    [run_id] = begun(flow)
    drain()
    assert states(run_id) == {"a": "failed", "b": "succeeded"}
    output = steps(run_id)["b"].output
    assert output is not None
    assert output["error"]["message"] == "away"
    assert the_run(run_id).state == "succeeded"
    assert the_run(run_id).dead_letters.count() == 0


@pytest.mark.parametrize(("action", "rescue"), [("fail", "succeeded"), ("default", "skipped")])
def test_goto_releases_its_target_or_skips_it(action: str, rescue: str) -> None:
    flow = published(
        f"""
name: jump-{action}
steps:
  - {{id: a, action: {action}, on_error: "goto:rescue"}}
  - {{id: b, action: default}}
  - {{id: rescue, action: default}}
"""
    )
    [run_id] = begun(flow)
    drain()
    assert states(run_id)["rescue"] == rescue
    assert the_run(run_id).state == "succeeded"
    assert the_run(run_id).dead_letters.count() == 0


def test_a_wide_fan_out_joins_once() -> None:
    branches = "\n".join(f"  - {{id: b{n}, needs: [a], action: default}}" for n in range(50))
    names = ", ".join(f"b{n}" for n in range(50))
    flow = published(
        f"name: wide\nsteps:\n  - {{id: a, action: default}}\n{branches}\n"
        f"  - {{id: j, needs: [{names}], action: default}}\n"
    )
    ids = begun(flow, *[{"n": n} for n in range(3)])
    drain()
    assert {the_run(run_id).state for run_id in ids} == {"succeeded"}
    assert StepRun.objects.filter(run_id__in=ids, step="j").count() == 3


def test_a_second_record_of_the_same_ticket_does_nothing() -> None:
    flow = published("name: twice\nsteps: [{id: a, action: default}, {id: b, action: sleep, with: {seconds: 0}}]")
    [run_id] = begun(flow)
    ticket = Ticket.objects.get(run_id=run_id)
    outcome = Outcome(
        run=RunFacts(id=run_id, input={}, began=0.0),
        fence=HeldTicket(ticket.id),
        results=(StepResult(step="a", state=StepState.SUCCEEDED, output={}),),
    )
    plan = load(flow.version.id)
    assert record([outcome], plan=plan).won == {Candidate(run_id, -1, "a")}
    assert record([outcome], plan=plan).won == frozenset()
    assert Ticket.objects.filter(run_id=run_id, head="b").count() == 1


def test_two_last_branches_in_any_order_release_the_join_once() -> None:
    flow = published(DIAMOND)
    for order in itertools.permutations(["b", "c"]):
        [run_id] = begun(flow, {"order": list(order)})
        deliver()
        drain()
        assert states(run_id)["d"] == "succeeded"
