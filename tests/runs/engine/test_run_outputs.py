"""Outputs of runs that take long are made in parts: no record holds its locks and its thread for all of them."""

from __future__ import annotations

from typing import Any

import pytest

from runs.engine import executor, long_links, run_outputs, wake
from runs.maintenance import sweep
from runs.models import Run, Ticket
from runs.queries.database import observed
from tests.engine import deliver, drain, messages
from tests.flows import begun, published, the_run
from tests.runs.engine.test_engine_failures import past

pytestmark = pytest.mark.django_db(transaction=True)

_LONG = "{{ range(5000)|select('in', range(5000)|list|reverse)|list|length + input.x }}"
_OUTPUT = f'\noutput: {{n: "{_LONG}"}}'
_WAIT = "{id: a, action: wait, with: {seconds: 3600}}"
LINEAR = "name: linear\nsteps: [{id: a, action: default}]" + _OUTPUT
GRAPH = (
    "name: graph\nsteps: [{id: a, action: default}, {id: b, needs: [], action: default}, "
    "{id: c, needs: [a, b], action: default}]" + _OUTPUT
)
EFFECT = "name: effect\nsteps: [{id: a, action: sleep, with: {seconds: 0}}]" + _OUTPUT


@pytest.fixture(autouse=True)
def no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """One output is enough for a transaction."""
    monkeypatch.setattr(run_outputs, "MOST_SECONDS", 0.0)
    messages()


@pytest.mark.parametrize("text", [LINEAR, GRAPH, EFFECT], ids=["linear", "graph", "effect"])
def test_each_transaction_ends_after_an_output_that_takes_long(text: str) -> None:
    runs = begun(published(text), *[{"x": x} for x in range(3)])
    drain()
    rows = [the_run(run_id) for run_id in runs]
    assert [(row.state, row.output) for row in rows] == [("succeeded", {"n": 5000 + x}) for x in range(3)]
    known = long_links._SLOT.unpack_from(long_links._shared, long_links._slot(rows[0].workspace_id.bytes))
    assert known[0] == rows[0].workspace_id.bytes, "its workspace is known for it"


def test_a_delivery_hands_back_the_runs_whose_outputs_it_has_no_time_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("INLINE_SECONDS", "SHORT_BUDGET_SECONDS", "BUDGET_SECONDS"):
        monkeypatch.setattr(executor, name, 0.4)
    runs = begun(published(LINEAR), *[{"x": x} for x in range(5)])
    assert deliver() == 1
    ended = Run.objects.filter(pk__in=runs, state="succeeded").count()
    assert 1 <= ended < len(runs)
    assert Ticket.objects.filter(run_id__in=runs, suspect=False).count() == len(runs) - ended
    drain()
    assert {the_run(run_id).state for run_id in runs} == {"succeeded"}


def test_a_round_of_the_sweep_ends_some_of_the_waits_whose_runs_have_outputs_that_take_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wake, "_LATE_SECONDS", 0.0)
    text = f"name: waits\nsteps: [{_WAIT}]{_OUTPUT}"
    runs = begun(published(text), *[{"x": x} for x in range(3)])
    drain()
    assert {the_run(run_id).state for run_id in runs} == {"waiting"}
    past()
    assert [sweep.wake() for _ in range(4)] == [1, 1, 1, 0]
    assert {the_run(run_id).state for run_id in runs} == {"succeeded"}


def test_quick_outputs_share_a_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_outputs, "MOST_SECONDS", 60.0)
    text = 'name: quick\nsteps: [{id: a, action: default}]\noutput: {n: "{{ input.x + 1 }}"}'
    counts: list[Any] = []
    for count in (2, 12):
        runs = begun(published(text), *[{"x": x} for x in range(count)])
        with observed() as seen:
            deliver()
        counts.append(len(seen))
        assert {the_run(run_id).output["n"] for run_id in runs} == set(range(1, count + 1))  # type: ignore[index]
    assert counts[0] == counts[1]
