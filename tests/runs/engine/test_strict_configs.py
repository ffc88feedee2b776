"""Configs are strict about types; what a version of an earlier release has written out goes on as it was."""

from __future__ import annotations

from typing import Any

import pytest

from actions.moments import iso
from tests.engine import deliver, drain
from tests.flows import begun, of_earlier_release, published, states, steps, the_run
from tests.workflows.definitions import document, faults, step

pytestmark = pytest.mark.django_db(transaction=True)

ASK = "name: ask\nsteps: [{id: a, action: approval, with: {message: m, until: UNTIL, on_expiry: approve}}]"


@pytest.mark.parametrize("until", [20261231, "20261231", 1798761600, True, "2026-12-01", "2026-12-01T09:00:00"])
def test_number_where_a_moment_belongs_is_refused_at_publish_and_in_a_run(until: Any) -> None:
    config = {"message": "m", "until": until, "on_expiry": "approve"}
    assert "Europe/Berlin" in faults(document(step("a", action="approval", with_=config)))["steps[0].with.until"]
    [run_id] = begun(published(ASK.replace("UNTIL", "'{{ input.until }}'")), {"until": until})
    drain()
    error = steps(run_id)["a"].error
    assert error is not None
    assert error["kind"] == "config"
    assert "with.until: " in error["message"]
    assert "2026-12-01T09:00 Europe/Berlin" in error["message"]


@pytest.mark.parametrize("until", ["2096-12-01T09:00 Europe/Berlin", "2096-12-01T08:00Z", "2096-12-01T09:00+01:00"])
def test_moment_of_an_input_is_waited_for(until: str) -> None:
    [run_id] = begun(published(ASK.replace("UNTIL", "'{{ input.until }}'")), {"until": until})
    drain()
    row = steps(run_id)["a"]
    assert row.wake_at is not None
    assert (row.state, iso(row.wake_at)) == ("waiting", "2096-12-01T08:00:00Z")


def test_unix_time_that_is_written_out_in_an_earlier_version_is_waited_for() -> None:
    [run_id] = begun(of_earlier_release(ASK.replace("UNTIL", "4000000000")))
    drain()
    assert states(run_id) == {"a": "waiting"}


def test_number_that_an_earlier_version_took_for_1970_approves_nothing() -> None:
    [run_id] = begun(of_earlier_release(ASK.replace("UNTIL", "20261231")))
    drain()
    assert states(run_id) == {"a": "failed"}


@pytest.mark.parametrize("iterations", ["'3'", "true", "3.0"])
def test_earlier_version_keeps_the_conversions_of_what_is_written_out(iterations: str) -> None:
    text = f"name: old\nsteps: [{{id: a, action: compute, with: {{iterations: {iterations}}}}}]"
    [run_id] = begun(of_earlier_release(text))
    drain()
    assert the_run(run_id).state == "succeeded"


@pytest.mark.parametrize("given", ["3", True, 2.5, None])
def test_value_of_another_type_that_an_expression_gives_fails_the_step(given: Any) -> None:
    flow = of_earlier_release("name: n\nsteps: [{id: a, action: compute, with: {iterations: '{{ input.n }}'}}]")
    [run_id] = begun(flow, {"n": given})
    deliver()
    error = steps(run_id)["a"].error
    assert error is not None
    assert "with.iterations" in error["message"]


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ({"concurrency": {"limit": True, "key": "{{ input.a }}"}}, "concurrency.limit"),
        ({"priority": "5"}, "priority"),
        ({"steps": [step("a", retry={"max_attempts": True})]}, "steps[0].retry.max_attempts"),
        ({"steps": [step("a", retry={"jitter": "0.1"})]}, "steps[0].retry.jitter"),
        ({"steps": [step("a", for_each={"items": [1], "batch": "10"})]}, "steps[0].for_each.batch"),
    ],
)
def test_numbers_of_a_definition_are_numbers(more: dict[str, Any], path: str) -> None:
    assert "must be a number, not a" in faults({**document(step("a")), **more})[path]


@pytest.mark.parametrize("version", [2**31, 2**63 - 1, 1e300, 0, -1])
def test_version_that_no_workflow_can_have_fails_the_step(version: Any) -> None:
    flow = published(
        "name: n\nsteps: [{id: a, action: sub_workflow, with: {workflow: n, version: '{{ input.v }}'}, retry: none}]"
    )
    [run_id] = begun(flow, {"v": version})
    drain()
    error = steps(run_id)["a"].error
    assert error is not None
    assert "with.version" in error["message"]
