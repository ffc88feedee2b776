"""Random workflows under random trouble: every run ends as a sequential oracle says, and nothing breaks on the way."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from hypothesis import example, given, note
from pytest_django import Settings

from actions import registry
from runs.models import DeadLetter, Run, Signal, StepRun
from tests.property import actions, oracle
from tests.property.bus import Bus, opened
from tests.property.oracle import Facts
from tests.property.world import World
from tests.property.worlds import Op, Story, plain, stories

pytestmark = pytest.mark.django_db(transaction=True)

# What a worker brings that stood still from before the pause of its run: it is dropped, and done again later.
LATE_IN_A_PAUSED_RUN = Story(
    document={
        "name": "model",
        "steps": [
            {
                "id": "s0",
                "needs": [],
                "join": "all_succeeded",
                "on_error": "fail",
                "action": "scripted_pure",
                "with": {"fails": 0, "permanent": False},
                "retry": {"max_attempts": 1, "initial": "1s"},
            }
        ],
    },
    child=None,
    ops=[Op("freeze", 0), Op("pause", 0)],
)
# A list whose item fails, and fails again when a person has retried it.
LIST_THAT_FAILS_AGAIN = Story(
    document={
        "name": "model",
        "steps": [
            {
                **LATE_IN_A_PAUSED_RUN.document["steps"][0],
                "action": "scripted",
                "with": {"fails": "{{ item }}", "permanent": False},
                "for_each": {"items": [99], "max_parallel": 1, "batch": 1, "on_item_error": "fail"},
            }
        ],
    },
    child=None,
    ops=[Op("settle", 0), Op("settle", 0), Op("retry", 0)],
)


@pytest.fixture
def bus(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> Iterator[Bus]:
    """The broker's messages; with the actions of the stories, and the table that one of them writes to."""
    for action in (actions.Scripted, actions.ScriptedPure, actions.ScriptedBooking):
        monkeypatch.setitem(registry.ACTIONS, action.name, f"{actions.__name__}.{action.__name__}")
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE bookings (run uuid, step text)")
    # Only the ops `leave` and `desert` leave steps behind: else it would depend on how busy the machine is.
    settings.QUICK_STEP_MILLISECONDS = 5000
    logging.disable(logging.CRITICAL)  # else one failure prints what thousands of deliveries logged
    with opened() as found:
        yield found
    logging.disable(logging.NOTSET)
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE bookings")


@given(story=stories())
@example(story=LATE_IN_A_PAUSED_RUN)
@example(story=LIST_THAT_FAILS_AGAIN)
def test_every_run_ends_as_the_oracle_says_whatever_happens_on_the_way(bus: Bus, story: Story) -> None:
    world = World(story, bus)
    try:
        for op in story.ops:
            world.happen(op)
        world.told.append("the faults stop")
        world.end()
        for run_id in world.notes:
            faults = list(_faults(world, run_id))
            assert faults == [], f"{world.notes[run_id].name}: {faults}"
    finally:
        note("\n".join(world.told))
        world.close()


def _faults(world: World, run_id: UUID) -> Iterator[str]:
    """What is wrong with the end of a run."""
    notes, row, marks = world.notes[run_id], world.now.runs[run_id], world.now.marks(run_id)
    note(f"{notes.name}, flag {notes.flag}: {row.state} {marks} {row.error}")
    facts = Facts(
        flag=notes.flag,
        marks=marks,
        items=world.now.items(run_id),
        kept=notes.kept,
        copied=notes.copied,
        entry=notes.entry,
        mended=notes.mended,
        stopped=notes.stopped,
        unborn=row.state == "cancelled" and not row.started,
        children={step: [world.notes[one].came for one in ids] for step, ids in world.now.children(run_id).items()},
    )
    yield from oracle.faults(notes.document, facts, state=row.state)
    if row.state == "succeeded" and plain(notes.document):
        wanted = oracle.output(notes.document, marks)
        if row.output != wanted:
            yield f"the output is {row.output}, and should be {wanted}"
    order = [notes.succeeded[step] for step in notes.undone]
    if order != sorted(order, reverse=True):
        yield f"undone in the order {notes.undone}, which succeeded at {order}"
    yield from _signal_faults(world, run_id)
    if notes.stopped is None:
        yield from _letter_faults(notes.document, run_id, marks)
    yield from _call_faults(world, run_id)
    if row.state == "cancelled" and not notes.cancelled:
        yield "nobody cancelled it"


def _signal_faults(world: World, run_id: UUID) -> Iterator[str]:
    """A signal that was used woke one step, and what a signal woke used one."""
    used = sorted(Signal.objects.filter(run=run_id, used_at__isnull=False).values_list("step", "payload"))
    woken = sorted(
        (step, row.output["payload"])
        for (owner, step, _), row in world.now.steps.items()
        if owner == run_id and step not in world.notes[run_id].copied and _by_signal(row.output)
    )
    if used != woken:
        yield f"the signals {used} were used, and those of {woken} came"


def _by_signal(output: Any) -> bool:
    return isinstance(output, dict) and "signal" in output


def _call_faults(world: World, run_id: UUID) -> Iterator[str]:
    """A step that called a sub-workflow tells of the run that its last attempt started."""
    for (owner, step, _), row in world.now.steps.items():
        told = row.output.get("run") if isinstance(row.output, dict) else None
        if owner == run_id and told is not None and step not in world.notes[run_id].copied:
            child = world.now.runs[UUID(told)]
            if (child.parent, child.parent_step, child.parent_attempt) != (run_id, step, row.attempt):
                yield f"{step} tells of a run that its attempt {row.attempt} did not start"


def _is_replaced(run: Run) -> bool:
    """Whether the step that called a run, or one of those above it, has made another attempt since."""
    while run.parent is not None and run.parent_item is not None and run.parent_attempt is not None:
        called = StepRun.objects.get(run=run.parent, step=run.parent_step, item=run.parent_item)
        if called.attempt > run.parent_attempt:
            return True
        run = run.parent
    return False


def _letter_faults(document: Mapping[str, Any], run_id: UUID, marks: dict[str, str]) -> Iterator[str]:
    """There is an open dead letter for each failure that nothing handled, and no other.

    A step that failed because of a run below, which has one, has none. A run that failed without a failed step has one
    of its own, whose step is empty; but not if it timed out while a step had one. The retry of a step that called runs
    closes the letters that these have by then.
    """
    steps = [one for name in ("steps", "on_failure", "finally") for one in document.get(name, [])]
    handled = {one["id"] for one in steps if one["on_error"] != "fail"}
    below = {
        step
        for step, letter_run in StepRun.objects.filter(run=run_id, item=-1, state="failed").values_list(
            "step", "error__details__dead_letter_run"
        )
        if letter_run is not None and DeadLetter.objects.filter(run=letter_run).exists()
    }
    failed = {name for name, mark in marks.items() if mark == "failed" and name not in handled}
    found = sorted(DeadLetter.objects.filter(run=run_id, state="open").values_list("step", flat=True))
    wanted = sorted(name for name in failed if name.startswith("undo:") or name not in below)
    run = Run.objects.get(pk=run_id)
    if not found and _is_replaced(run):
        return
    if [name for name in found if name] != wanted:
        yield f"dead letters for {found}, and failures of {wanted}"
    by_itself = run.state in ("failed", "compensated") and "step" not in (run.error or {})
    if found.count("") > by_itself or (by_itself and not found):
        yield f"dead letters for {found}, and the run's error is {run.error}"
