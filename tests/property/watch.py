"""What may never be, whatever happens: asserted after every single thing that does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from runs.domain.states import RUN_ENDED, STEP_ENDED
from runs.models import Run, StepRun, Ticket
from runs.queries import invariants
from runs.queries.database import run
from tests.property import actions
from tests.property.oracle import BLOCKED, verdict

OPEN_STATES = ("running", "retrying", "waiting")
PARTS = ("steps", "undo", "on_failure", "finally")

# A step or item of a run: run, step, item.
StepKey = tuple[UUID, str, int]


class RunRow(NamedTuple):
    state: str
    ending: str | None
    output: Any
    error: Any
    finished_at: Any
    paused: bool
    started: bool
    parent: UUID | None
    parent_step: str | None
    parent_attempt: int | None

    @property
    def stoppable(self) -> bool:
        """Whether a cancel is legal."""
        return self.state in ("queued", "running", "waiting") and self.ending is None


class StepRow(NamedTuple):
    state: str
    attempt: int
    attempts: list[dict[str, Any]]
    process: UUID | None
    output: Any
    error: Any
    finished_at: Any


@dataclass(frozen=True)
class View:
    """Everything that the engine has written about the runs."""

    runs: dict[UUID, RunRow]
    steps: dict[StepKey, StepRow]
    tickets: dict[StepKey, int]

    def marks(self, run_id: UUID) -> dict[str, str]:
        """The run's steps as the oracle calls them."""
        return {
            step: BLOCKED if row.state == "skipped" and row.error else row.state
            for (owner, step, item), row in self.steps.items()
            if owner == run_id and item == -1
        }

    def items(self, run_id: UUID) -> dict[str, dict[int, str]]:
        """The states of the items of the run's steps."""
        found: dict[str, dict[int, str]] = {}
        for (owner, step, item), row in self.steps.items():
            if owner == run_id and item >= 0:
                found.setdefault(step, {})[item] = row.state
        return found

    def children(self, run_id: UUID) -> dict[str, list[UUID]]:
        """The runs that the run's steps started, by step, in the order of its attempts."""
        found: dict[str, list[UUID]] = {}
        for child, row in sorted(self.runs.items(), key=lambda one: one[1].parent_attempt or 0):
            if row.parent == run_id and row.parent_step is not None:
                found.setdefault(row.parent_step, []).append(child)
        return found


@dataclass
class Notes:
    """What the outside world knows of one run: what it is, and what was done to it."""

    name: str
    flag: bool
    document: Mapping[str, Any]
    kept: dict[str, str] = field(default_factory=dict)
    copied: frozenset[str] = frozenset()
    entry: str | None = None
    mended: bool = False
    expired: bool = False
    stopped: str | None = None
    # Whether somebody cancelled it, or its limit or parent did; and the states that it ended in so far.
    cancelled: bool = False
    came: set[str] = field(default_factory=set)
    # The rows of `steps` when the run was stopped, and all rows when it was paused.
    at_stop: dict[StepKey, StepRow] = field(default_factory=dict)
    at_pause: dict[StepKey, StepRow] | None = None
    # Steps that were released so far, compensations in their order, and when each step was first seen to succeed.
    begun: set[str] = field(default_factory=set)
    undone: list[str] = field(default_factory=list)
    succeeded: dict[str, int] = field(default_factory=dict)

    @property
    def input(self) -> dict[str, Any]:
        """What the run was given."""
        return {"flag": self.flag, "key": "k1" if self.flag else "k2"}

    @property
    def gate(self) -> str | None:
        """What the run shares its limit with others through, if it has one."""
        rule = self.document.get("concurrency")
        return None if rule is None else str(self.input["key"]) if "key" in rule else ""

    def room(self, step: str) -> int:
        """How many items of the step may be open at once."""
        parts = [one for name in ("steps", "on_failure", "finally") for one in self.document.get(name, [])]
        found = next(one for one in parts if one["id"] == step)
        each = found["for_each"]
        pure = found["action"] == "scripted_pure"
        return int(each["batch"] if pure else min(each["max_parallel"], each["batch"]))

    def books(self, step: str) -> bool:
        """Whether the step writes to the database of the engine."""
        return any(one["id"] == step and one["action"] == "scripted_booking" for one in self.document["steps"])


def part(step: str) -> str:
    """Where the step of this id stands."""
    return "undo" if step.startswith("undo:") else {"f": "on_failure", "z": "finally"}.get(step[0], "steps")


def view() -> View:
    """The rows as they stand."""
    runs = Run.objects.values_list(
        *("id", "state", "ending", "output", "error", "finished_at", "paused_at", "started_at"),
        *("parent_id", "parent_step", "parent_attempt"),
    )
    steps = StepRun.objects.values_list(
        "run_id", "step", "item", "state", "attempt", "attempts", "process", "output", "error", "finished_at"
    )
    tickets = Ticket.objects.values_list("run_id", "head", "item", "id")
    return View(
        runs={row[0]: _run_row(row) for row in runs},
        steps={row[:3]: StepRow(*row[3:]) for row in steps.order_by("id")},
        tickets={row[:3]: row[3] for row in tickets},
    )


def _run_row(row: tuple[Any, ...]) -> RunRow:
    _, state, ending, output, error, finished_at, paused_at, started_at, *parent = row
    return RunRow(state, ending, output, error, finished_at, paused_at is not None, started_at is not None, *parent)


class Watch:
    """Sees every state in turn, and remembers what may not change any more."""

    def __init__(self, *, child: Mapping[str, Any] | None) -> None:
        self.now = View({}, {}, {})
        self._child = child
        # Failed items that a retry by hand is to take up again, each once.
        self._redone: set[StepKey] = set()
        self._released: dict[StepKey, int] = {}
        self._keys: dict[str, tuple[str, str, int]] = {}
        self._made: set[tuple[object, ...]] = set()
        self._seen = 0
        self._looks = 0

    def look(self, notes: dict[UUID, Notes]) -> View:
        """The rows as they stand, every invariant asserted. Sub-workflows get notes when they are first seen."""
        before, now = self.now, view()
        self._meet(notes, now)
        self._looks += 1
        assert run(invariants.AUDIT, limit=10) == []
        self._nothing_ended_changes(before, now)
        self._attempts_increase(before, now)
        self._nothing_is_released_twice(now)
        for run_id, one in notes.items():
            self._note(run_id, one, before, now)
        self._nothing_is_released_early(notes, now)
        self._one_part_follows_the_other(now)
        self._no_more_items_are_open_than_may_be(notes, now)
        self._no_more_are_live_than_may_be(notes, before, now)
        self._nothing_is_made_twice()
        self._what_is_booked_is_recorded(notes, now)
        self.now = now
        return now

    def orphans(self, notes: Mapping[UUID, Notes]) -> set[UUID]:
        """Runs that go on although the step that waits for them was cancelled. A retried one is its own affair."""
        found = set()
        for child, row in self.now.runs.items():
            above = None if row.parent is None else self.now.steps.get((row.parent, str(row.parent_step), -1))
            if above is not None and above.state == "cancelled" and above.attempt == row.parent_attempt:
                notes[child].cancelled = True
                if row.stoppable and str(child) not in actions.rounds:
                    found.add(child)
        return found

    def forget(self, run_id: UUID, steps: Iterable[str]) -> None:
        """A retry by hand lets the run go on, and these steps of it begin again."""
        gone = set(steps)
        runs = {key: row for key, row in self.now.runs.items() if key != run_id}
        rows = {
            key: row
            for key, row in self.now.steps.items()
            # An item that succeeded is not performed again, and one that failed when there is room for it.
            if key[0] != run_id or key[1] not in gone or (key[2] >= 0 and part(key[1]) == "steps")
        }
        redone = {key for key, row in rows.items() if key[0] == run_id and key[1] in gone and row.state == "failed"}
        self._redone = redone | {key for key in self._redone if key[0] != run_id}
        self.now = View(runs, rows, self.now.tickets)
        self._released = {key: one for key, one in self._released.items() if key[0] != run_id or key[1] not in gone}

    def _meet(self, notes: dict[UUID, Notes], now: View) -> None:
        for run_id, row in now.runs.items():
            if row.parent is not None and run_id not in notes:
                above = notes[row.parent]
                assert self._child is not None
                name = f"{above.name}.{row.parent_step}.{row.parent_attempt}"
                notes[run_id] = Notes(name, above.flag, self._child)
            if row.state in RUN_ENDED:
                notes[run_id].came.add(row.state)

    def _nothing_ended_changes(self, before: View, now: View) -> None:
        for run_id, was in before.runs.items():
            if was.state in RUN_ENDED:
                assert now.runs[run_id] == was, "a run that had ended has changed"
        for place, row in before.steps.items():
            if row.state in STEP_ENDED:
                then = now.steps.get(place)
                assert then is not None, f"{place[1]} had ended and is gone"
                if place in self._redone and then != row:
                    self._redone.remove(place)
                    continue
                undone = row.state == "succeeded" and then.state == "compensated"
                assert then == (row._replace(state="compensated") if undone else row), f"{place[1]} had ended, changed"

    @staticmethod
    def _attempts_increase(before: View, now: View) -> None:
        lists = {place[:2] for place in now.steps if place[2] >= 0}
        for place, row in now.steps.items():
            # A list that a person retries goes on in the same attempt; its items have new ones.
            goes_on = place[2] == -1 and place[:2] in lists
            numbers = [one["number"] for one in row.attempts if not (goes_on and "retried_at" in one)]
            assert numbers == sorted(set(numbers)), f"{place[1]} has the attempts {numbers}"
            was = before.steps.get(place)
            if was is not None:
                assert row.attempt >= was.attempt, f"{place[1]} goes back from attempt {was.attempt} to {row.attempt}"
                begins = row.state == "running" and was.process != row.process
                assert not begins or row.attempt > was.attempt, f"{place[1]} begins attempt {row.attempt} twice"

    def _nothing_is_released_twice(self, now: View) -> None:
        for place, ticket in now.tickets.items():
            if place not in now.steps:
                assert self._released.setdefault(place, ticket) == ticket, f"{place[1]} was released twice"

    def _note(self, run_id: UUID, notes: Notes, before: View, now: View) -> None:
        """Nothing begins in a run that is stopped or paused. A stop or pause is seen at the look that follows it."""
        row = now.runs[run_id]
        mine = {place: one for place, one in now.steps.items() if place[0] == run_id}
        main = {place: one for place, one in mine.items() if part(place[1]) == "steps"}
        for place, one in mine.items():
            if place[2] == -1 and one.state in ("succeeded", "compensated"):
                notes.succeeded.setdefault(place[1], self._looks)
        late = isinstance(row.error, dict) and row.error.get("reason") == "timed_out"
        if notes.stopped is None and (late or "cancelled" in (row.state, row.ending)):
            assert notes.expired or not late, "the run timed out before its time"
            notes.stopped, notes.at_stop = "failed" if late else "cancelled", main
        if notes.stopped is not None:
            for place, one in main.items():
                assert place in notes.at_stop, f"{place[1]} began after the run was stopped"
                assert one.attempt == notes.at_stop[place].attempt, f"{place[1]} was tried after the run was stopped"
        if not row.paused:
            notes.at_pause = None
        elif notes.at_pause is None:
            notes.at_pause = mine
        else:
            _nothing_begins(notes.at_pause, mine)

    def _nothing_is_released_early(self, notes: Mapping[UUID, Notes], now: View) -> None:
        """A join is released only when its rule is met. That it is then shows at the end."""
        # Rows stand in the order in which they were begun.
        places = [place for place, row in now.steps.items() if row.state not in ("skipped", "cancelled")]
        places += now.tickets
        for run_id, name, _ in dict.fromkeys(places):
            one = notes[run_id]
            steps = {step["id"]: step for step in one.document["steps"]}
            if name in one.begun:
                continue
            one.begun.add(name)
            if name.startswith("undo:"):
                one.undone.append(name.removeprefix("undo:"))
            elif name in steps and name not in one.kept and name != one.entry:
                marks = {key: mark.replace("compensated", "succeeded") for key, mark in now.marks(run_id).items()}
                known = {key: mark for key, mark in marks.items() if mark not in (*OPEN_STATES, "cancelled")}
                said = verdict(steps[name], steps=one.document["steps"], marks=known)
                assert said == "run", f"{name} was released, and should {said}: {known}"

    @staticmethod
    def _one_part_follows_the_other(now: View) -> None:
        """Compensation, on_failure, finally: none begins before the one before is done; one compensation at a time."""
        busy: dict[UUID, dict[str, set[str]]] = {}
        there: dict[UUID, set[str]] = {}
        for run_id, step, _ in [*now.tickets, *now.steps]:
            there.setdefault(run_id, set()).add(part(step))
        for run_id, step, _ in [*now.tickets, *(place for place, row in now.steps.items() if row.state in OPEN_STATES)]:
            busy.setdefault(run_id, {}).setdefault(part(step), set()).add(step)
        for run_id, open_parts in busy.items():
            last = max(PARTS.index(name) for name in there[run_id])
            assert set(open_parts) == {PARTS[last]}, f"{PARTS[last]} began while {open_parts} was under way"
            assert len(open_parts.get("undo", ())) <= 1, f"{open_parts['undo']} are undone at the same time"

    @staticmethod
    def _no_more_items_are_open_than_may_be(notes: Mapping[UUID, Notes], now: View) -> None:
        is_open = [place for place, row in now.steps.items() if row.state in OPEN_STATES]
        counts = Counter((run_id, step) for run_id, step, item in {*is_open, *now.tickets} if item >= 0)
        for (run_id, step), count in counts.items():
            assert count <= notes[run_id].room(step), f"{count} items of {step} are open"

    @staticmethod
    def _no_more_are_live_than_may_be(notes: Mapping[UUID, Notes], before: View, now: View) -> None:
        """A run that somebody retries goes on at once; nothing is admitted beside it."""
        gates: dict[str, list[UUID]] = {}
        for run_id, row in now.runs.items():
            gate = notes[run_id].gate
            if gate is not None and row.parent is None and row.state not in {*RUN_ENDED, "queued"}:
                gates.setdefault(gate, []).append(run_id)
        for live in gates.values():
            limit = notes[live[0]].document["concurrency"]["limit"]
            retried = [run_id for run_id in live if str(run_id) in actions.rounds]
            new = [one for one in live if one not in before.runs or before.runs[one].state == "queued"]
            assert len(live) <= limit + len(retried), f"{len(live)} runs are live"
            assert len(live) <= limit or set(new) <= set(retried), f"{len(new)} more runs were admitted beside others"

    def _nothing_is_made_twice(self) -> None:
        """No attempt is made twice under one number; the key is the same for every attempt, and for no other step."""
        for one in actions.made[self._seen :]:
            # What follows the work comes again after a retry by hand, beginning with its first attempt.
            times = one.round if part(one.step) != "steps" else 0
            attempt = (one.run, one.step, one.item, one.attempt, times)
            assert attempt not in self._made, f"attempt {one.attempt} of {one.step} was made twice"
            self._made.add(attempt)
            place = (one.run, one.step, one.item)
            assert self._keys.setdefault(one.key, place) == place, "two steps have the same key"
        self._seen = len(actions.made)
        assert len(set(self._keys.values())) == len(self._keys), "a step has two keys"

    @staticmethod
    def _what_is_booked_is_recorded(notes: Mapping[UUID, Notes], now: View) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT run, step FROM bookings ORDER BY run, step")
            booked = cursor.fetchall()
            cursor.execute("SELECT coalesce(sum(value::int), 0) FROM runs_state")
            [(counted,)] = cursor.fetchall()
        recorded = [
            place[:2]
            for place, row in now.steps.items()
            if notes[place[0]].books(place[1])
            and row.state in ("succeeded", "compensated")
            and place[1] not in notes[place[0]].copied
        ]
        assert booked == sorted(recorded)
        assert counted == len(booked), "a key of state was not counted exactly once with its step"


def _nothing_begins(then: Mapping[StepKey, StepRow], now: Mapping[StepKey, StepRow]) -> None:
    """In a paused run what runs or waits may end, and what that skips may be written; nothing else moves."""
    for place, row in now.items():
        was = then.get(place)
        if was is None:
            assert row.state == "skipped", f"{place[1]} began while its run was paused"
        else:
            assert row.attempt == was.attempt, f"{place[1]} was tried while its run was paused"
            assert was.state in OPEN_STATES or row.state in (was.state, "compensated"), f"{place[1]} moved in a pause"
