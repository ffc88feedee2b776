"""Rows that do not fit together are refused by the database itself, with the name of the rule."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import psycopg
import pytest
from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from runs.domain.states import RUN_ENDED, STEP_ENDED, RunState, StepState
from runs.models import Run, StepRun
from tests.flows import begun, published

pytestmark = pytest.mark.django_db

DEFINITION = "{name: rules, steps: [{id: a, action: transform, with: {set: {value: 1}}}]}"
NOTHING = {"ending": None, "started_at": Now(), "finished_at": None, "paused_at": None, "paused_through": None}
NOBODY = {"finished_at": None, "process": None, "deadline": None, "wake_at": None, "signal": None}
NOBODY |= {"awaits": None, "open_items": None}
HELD = {"process": uuid4(), "deadline": Now()}


@pytest.fixture
def run() -> Run:
    [run_id] = begun(published(DEFINITION), {})
    return Run.objects.get(pk=run_id)


def run_row(state: str) -> dict[str, Any]:
    """What fits this state of a run."""
    return {
        **NOTHING,
        "state": state,
        "finished_at": Now() if state in RUN_ENDED else None,
        "ending": "failed" if state == "compensating" else None,
    }


def step_row(state: str) -> dict[str, Any]:
    """What fits this state of a step run."""
    more: dict[str, dict[str, Any]] = {"running": HELD, "waiting": {"wake_at": Now()}}
    return {**NOBODY, "state": state, "finished_at": Now() if state in STEP_ENDED else None, **more.get(state, {})}


def refused(rows: Any, values: dict[str, Any]) -> str | None:
    """The rule by which the database refuses an update, None if it does not; nothing is changed."""
    try:
        with transaction.atomic():
            assert rows.update(**values) == 1
            transaction.set_rollback(True)
    except IntegrityError as error:
        broken = error.__cause__
    else:
        return None
    assert isinstance(broken, psycopg.errors.CheckViolation)
    return broken.diag.constraint_name


@pytest.mark.parametrize("state", list(RunState))
def test_a_run_in_each_state_is_accepted_as_it_should_be_and_refused_otherwise(run: Run, state: RunState) -> None:
    rows, fitting = Run.objects.filter(pk=run.pk), run_row(state.value)
    assert refused(rows, fitting) is None
    other_end = {**fitting, "finished_at": None if state in RUN_ENDED else Now()}
    assert refused(rows, other_end) == "run_ended_iff_finished_at"
    assert refused(rows, {**fitting, "paused_at": Now()}) == "run_paused_through_something"
    assert refused(rows, {**fitting, "paused_through": "run"}) == "run_paused_through_something"
    assert refused(rows, {**fitting, "paused_at": Now(), "paused_through": "odd"}) == "run_paused_through_something"
    assert refused(rows, {**fitting, "paused_at": Now(), "paused_through": "workflow"}) is None
    not_started = refused(rows, {**fitting, "started_at": None})
    assert not_started == (None if state in ("queued", "cancelled") else "run_started_unless_queued")


@pytest.mark.parametrize(
    ("state", "endings"),
    [
        ("running", {None, "succeeded", "failed", "cancelled"}),
        ("waiting", {None, "succeeded", "failed", "cancelled"}),
        ("compensating", {"failed"}),
        *((state.value, {None}) for state in sorted(RUN_ENDED)),
        ("queued", {None}),
    ],
)
def test_only_a_live_run_has_the_outcome_of_its_work(run: Run, state: str, endings: set[str | None]) -> None:
    rows = Run.objects.filter(pk=run.pk)
    for ending in [None, "succeeded", "failed", "cancelled", "compensated", "odd"]:
        expected = None if ending in endings else "run_ending_while_live"
        assert refused(rows, {**run_row(state), "ending": ending}) == expected, ending


@pytest.mark.parametrize("state", list(StepState))
def test_a_step_in_each_state_is_accepted_as_it_should_be_and_refused_otherwise(run: Run, state: StepState) -> None:
    step = StepRun.objects.create(run=run, step="a", **step_row("succeeded"))
    rows, fitting = StepRun.objects.filter(pk=step.pk), step_row(state.value)
    assert refused(rows, fitting) is None
    other_end = {**fitting, "finished_at": None if state in STEP_ENDED else Now()}
    assert refused(rows, other_end) == "step_run_ended_iff_finished_at"
    for name, value in HELD.items():
        other_lease = {**fitting, name: None if state == "running" else value}
        assert refused(rows, other_lease) == "step_run_running_iff_leased", name


def test_a_step_waits_for_something_and_nothing_is_counted_below_zero(run: Run) -> None:
    step = StepRun.objects.create(run=run, step="a", **step_row("succeeded"))
    rows, waiting = StepRun.objects.filter(pk=step.pk), {**step_row("waiting"), "wake_at": None}
    assert refused(rows, waiting) == "step_run_waiting_has_end"
    for one in ({"wake_at": Now()}, {"signal": "paid"}, {"awaits": 0}, {"open_items": 0}):
        assert refused(rows, {**waiting, **one}) is None, one
    assert refused(rows, {**waiting, "awaits": -1}) == "step_run_awaits_none_below_zero"
    assert refused(rows, {**waiting, "open_items": -1}) == "step_run_open_items_none_below_zero"


def test_an_unknown_state_is_refused_whether_ended_or_not(run: Run) -> None:
    step = StepRun.objects.create(run=run, step="a", **step_row("succeeded"))
    for at in (None, Now()):
        assert refused(Run.objects.filter(pk=run.pk), {**run_row("running"), "state": "odd", "finished_at": at})
        values = {**step_row("retrying"), "state": "odd", "finished_at": at}
        assert refused(StepRun.objects.filter(pk=step.pk), values)
