"""A run's output that a door makes (a signal, an approval) takes its process 50 ms at most, and is what it would be."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from django.db import OperationalError

from actions.base import Json
from actions.expressions import render_helper
from runs.control import approvals, signals
from runs.domain.actor import Actor
from runs.models import DeadLetter
from tests.engine import drain
from tests.flows import begun, published, the_run

pytestmark = pytest.mark.django_db(transaction=True)

MANY: Json = list(range(6_000))
CHEAP = "{{ input.items|length }}"
# Some 40 ms of processor time for MANY.
DEAR = "{{ input.items|map('string')|map('upper')|unique|list|length }}"
# Makes more than an expression may.
TOO_DEAR = "{{ input.items|map('string')" + "|map('upper')" * 20 + "|list|length }}"


@pytest.fixture(autouse=True)
def _helper(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A tenth of the budget, so that a tenth of the work is beyond it."""
    monkeypatch.setattr(render_helper, "WEB_CPU_MILLISECONDS", 5)
    render_helper.helper._kill()
    yield
    render_helper.helper._kill()


def waiting(output: str, given: Json, *, action: str = "wait_for_signal, with: {name: go}") -> UUID:
    [run_id] = begun(published(f'name: out\noutput: {{n: "{output}"}}\nsteps: [{{id: w, action: {action}}}]'), given)
    drain()
    assert the_run(run_id).state == "waiting"
    return run_id


def go(run_ids: list[UUID]) -> None:
    signals.send(run_ids, message=signals.Message("go", payload=None), actor=Actor())


def test_a_cheap_output_is_made_in_place_and_a_dear_one_by_the_helper_with_the_same_result() -> None:
    cheap = waiting(CHEAP, {"items": [1, 2]})
    go([cheap])
    assert (the_run(cheap).output, render_helper.helper._process) == ({"n": 2}, None)
    dear = waiting(DEAR, {"items": MANY})
    go([dear])
    assert (the_run(dear).state, the_run(dear).output) == ("succeeded", {"n": 6_000})
    assert render_helper.helper._process is not None


def test_an_approval_and_a_failing_output_end_as_a_worker_ends_them() -> None:
    run_id = waiting(DEAR, {"items": MANY}, action="approval, with: {message: ok}")
    decision = approvals.Decision(approved=True, by="somebody")
    assert approvals.decide([(run_id, "w", -1)], decision=decision, actor=Actor())
    assert the_run(run_id).output == {"n": 6_000}
    for output in ("{{ input.absent }}", DEAR.replace("length", "length + input.absent")):
        run_id = waiting(output, {"items": MANY})
        go([run_id])
        error: Any = the_run(run_id).error
        assert (the_run(run_id).state, error["kind"]) == ("failed", "expression")
        assert "absent" in error["message"]
        assert DeadLetter.objects.get(run_id=run_id).reason == "output"


def test_an_output_beyond_every_budget_costs_the_door_little() -> None:
    run_id = waiting(TOO_DEAR, {"items": list(range(30_000))})
    began = time.process_time()
    try:
        go([run_id])
    except OperationalError:  # the helper got too little of a busy machine
        assert the_run(run_id).state == "waiting"
    else:
        error: Any = the_run(run_id).error
        assert (the_run(run_id).state, error["kind"]) == ("failed", "expression")
        assert "makes too much" in error["message"]
    assert time.process_time() - began < 1


def test_many_outputs_of_one_signal_share_the_budget_and_a_busy_helper_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs = [waiting(DEAR, {"items": list(range(6_000 + n))}) for n in range(4)]
    go(runs[:3])
    assert [the_run(one).output for one in runs[:3]] == [{"n": 6_000 + n} for n in range(3)]
    monkeypatch.setattr(render_helper, "ALL_SECONDS", 0.0)
    monkeypatch.setattr(render_helper, "WEB_CPU_MILLISECONDS", 0)
    with pytest.raises(OperationalError, match="takes long to work out"):
        go(runs[3:])
    assert the_run(runs[3]).state == "waiting"
    monkeypatch.undo()
    go(runs[3:])
    assert the_run(runs[3]).output == {"n": 6_003}
