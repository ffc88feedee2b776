"""One path of steps: what is recorded, what it costs, and what a failure stops."""

from __future__ import annotations

import pytest

from runs.models import DeadLetter, StepRun, Ticket
from runs.queries.database import observed
from tests.engine import deliver, drain
from tests.flows import begun, published, states, steps, the_run

pytestmark = pytest.mark.django_db(transaction=True)

SELECT = """
name: select-email
steps:
  - {id: pick, action: transform, with: {select: [email]}}
"""


def linear(count: int, *, action: str = "default") -> str:
    lines = "\n".join(f"  - {{id: s{n}, action: {action}}}" for n in range(1, count + 1))
    return f"name: linear-{count}\nsteps:\n{lines}\n"


def test_a_transform_run_succeeds_and_its_step_shows_its_output() -> None:
    [run_id] = begun(published(SELECT), {"email": "user@example.com", "age": 20})
    drain()
    run = the_run(run_id)
    assert run.state == "succeeded"
    assert run.output == {"email": "user@example.com"}
    assert steps(run_id)["pick"].output == {"email": "user@example.com"}
    assert run.started_at is not None
    assert run.finished_at is not None
    assert not Ticket.objects.exists()


def test_ten_pure_steps_cost_a_start_one_statement_in_the_worker_and_one_in_dispatch() -> None:
    flow = published(linear(10))
    begun(flow, {"a": 1})
    drain()  # a first load of the version
    with observed() as in_start:
        [run_id] = begun(flow, {"a": 1})
    with observed() as after:
        deliver()
    assert in_start == ["start"]
    assert after == ["path_last", "peek"]
    assert the_run(run_id).state == "succeeded"
    assert len(steps(run_id)) == 10


def test_a_hundred_runs_cost_two_statements_more_than_one_whose_rows_need_no_copy_and_that_is_not_loaded() -> None:
    flow = published(linear(10))
    begun(flow, {})
    drain()
    counts = []
    for size in (1, 100):
        with observed() as seen:
            ids = begun(flow, *[{"n": n} for n in range(size)])
            deliver()
        counts.append(len(seen))
        assert StepRun.objects.filter(run_id__in=ids, state="succeeded").count() == size * 10
    assert counts[1] == counts[0] + 2


def test_the_fifth_of_ten_steps_fails_for_good_and_the_rest_never_runs() -> None:
    lines = [f"  - {{id: s{n}, action: default}}" for n in range(1, 11)]
    lines[4] = "  - {id: s5, action: fail, with: {message: 'no such customer'}}"
    flow = published("name: ten\nsteps:\n" + "\n".join(lines))
    other = published(SELECT)
    [run_id] = begun(flow, {"customer": 7})
    [undisturbed] = begun(other, {"email": "a@b.c"})
    drain()
    found = states(run_id)
    assert [found[f"s{n}"] for n in range(1, 6)] == ["succeeded"] * 4 + ["failed"]
    assert [found[f"s{n}"] for n in range(6, 11)] == ["skipped"] * 5
    assert all(steps(run_id)[f"s{n}"].started_at is None for n in range(6, 11))
    dead_letter = DeadLetter.objects.get(run_id=run_id)
    assert (dead_letter.step, dead_letter.reason) == ("s5", "failed")
    assert "no such customer" in dead_letter.error["message"]
    assert dead_letter.input == {"customer": 7}
    run = the_run(run_id)
    assert run.state == "failed"
    assert run.error is not None
    assert run.error["step"] == "s5"
    assert the_run(undisturbed).state == "succeeded"


def test_a_known_key_answers_the_first_run() -> None:
    flow = published(SELECT)
    [first] = begun(flow, {"email": "a"}, idempotency_key="order-4711")
    [second] = begun(flow, {"email": "b"}, idempotency_key="order-4711")
    assert first == second
    drain()
    assert the_run(first).output == {"email": "a"}


def test_one_key_twice_in_one_set_makes_one_run() -> None:
    both = begun(published(SELECT), {"email": "a"}, {"email": "b"}, idempotency_key="twice")
    assert both[0] == both[1]


def test_an_output_expression_makes_the_runs_output() -> None:
    flow = published(
        """
name: with-output
steps:
  - {id: a, action: transform, with: {set: {n: 2}}}
  - {id: nap, action: sleep, with: {seconds: 0}}
  - {id: b, action: default}
output: {first: "{{ steps.a.output.n }}", whole: "{{ input }}"}
"""
    )
    [run_id] = begun(flow, {"x": 1})
    drain()
    assert the_run(run_id).output == {"first": 2, "whole": {"x": 1}}


def test_an_output_that_cannot_be_rendered_fails_the_run_and_says_why() -> None:
    flow = published('name: bad-output\nsteps: [{id: a, action: default}]\noutput: "{{ steps.a.output.missing }}"\n')
    [run_id] = begun(flow, {"x": 1})
    drain()
    run = the_run(run_id)
    assert run.state == "failed"
    assert run.error is not None
    assert "missing" in run.error["message"]


def test_a_false_if_skips_the_step_and_what_needs_it() -> None:
    flow = published(
        """
name: maybe
steps:
  - {id: a, action: default}
  - {id: b, action: default, if: "input.age >= 18"}
  - {id: c, action: notify, with: {channel: ops, text: hello}}
"""
    )
    young, old = begun(flow, {"age": 3}, {"age": 30})
    drain()
    assert states(young) == {"a": "succeeded", "b": "skipped", "c": "skipped"}
    assert states(old) == {"a": "succeeded", "b": "succeeded", "c": "succeeded"}
    assert the_run(young).state == "succeeded"


def test_a_later_step_reads_an_earlier_one_over_an_effectful_step() -> None:
    flow = published(
        """
name: reads
steps:
  - {id: a, action: transform, with: {set: {n: 5}}}
  - {id: nap, action: sleep, with: {seconds: 0}}
  - {id: c, action: transform, with: {set: {sum: "{{ steps.a.output.n + 1 }}"}}}
"""
    )
    [run_id] = begun(flow)
    drain()
    row = steps(run_id)["c"]
    assert row.output == {"sum": 6}
    assert row.config == {"set": {"sum": 6}}
    assert steps(run_id)["a"].config is None


def test_a_run_bears_the_workflows_labels_and_its_own() -> None:
    flow = published("name: labelled\nlabels: {team: shop, tier: gold}\nsteps: [{id: a, action: default}]")
    [run_id] = begun(flow, {}, labels={"tier": "silver", "order": "4711"})
    assert the_run(run_id).labels == {"team": "shop", "tier": "silver", "order": "4711"}
