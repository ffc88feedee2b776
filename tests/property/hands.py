"""What people and other systems do to the runs from outside, each verb at any moment."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from actions.catalogue.approval import SIGNAL
from runs.control import approvals, pauses, retries, signals, stops
from runs.control import replays as control
from runs.domain.actor import Actor
from runs.domain.states import RUN_ENDED
from runs.models import Intervention, Run, StepRun
from tests.flows import begun
from tests.property import actions
from tests.property.oracle import BLOCKED
from tests.property.watch import Notes, RunRow, View, part

if TYPE_CHECKING:
    from tests.property.world import World
    from workflows.publishing.publish import Published

ACTOR = Actor(reason="the story says so")
REPLAYS = STARTS = 2
# Of the numbers 0 to 7 that an op may bear.
OFTEN = 6


class Hands:
    """The verbs. Each is tried whether it is legal or not, and must win exactly where it is."""

    def __init__(self, world: World, *, flow: Published) -> None:
        self._world, self._flow = world, flow
        self._replays, self._starts = 0, 0
        self._payloads = itertools.count(1)

    @property
    def _now(self) -> View:
        return self._world.now

    def cancel(self, at: int) -> None:
        run_id, notes = self._chosen(at, lambda row: row.stoppable)
        legal = self._now.runs[run_id].stoppable
        won = self._verb(lambda: stops.cancel([run_id], actor=ACTOR), run_id, "cancel", legal=legal)
        notes.cancelled = notes.cancelled or won

    def start(self, at: int) -> None:
        """One more run, as far as the limit that the runs share lets it in."""
        if self._starts == STARTS:
            return
        notes = Notes(f"n{self._starts}", at % 2 == 0, next(iter(self._world.notes.values())).document)
        there = self._in_gate(notes.gate)
        died = self._world.mortal(lambda: begun(self._flow, notes.input))
        made = Run.objects.filter(parent_id=None).exclude(pk__in=list(self._world.notes)).first()
        assert made is not None or died
        if made is not None:
            self._starts += 1
            self._world.notes[made.pk] = notes
            self._judge(made, notes, there)

    def _in_gate(self, gate: str | None) -> list[UUID]:
        """Live runs and those that queue, newest first."""
        mine = [run_id for run_id, notes in self._world.notes.items() if notes.gate == gate]
        rows = {run_id: self._now.runs[run_id] for run_id in mine if self._now.runs[run_id].parent is None}
        there = [one for one, row in rows.items() if row.state not in {*RUN_ENDED, *(["queued"] if row.paused else [])}]
        return sorted(there, reverse=True)

    def _judge(self, made: Run, notes: Notes, there: Sequence[UUID]) -> None:
        """What the start did to the new run, and to those that were there."""
        rule = notes.document["concurrency"]
        skipped = rule["policy"] == "skip" and len(there) >= rule["limit"]
        notes.cancelled = skipped
        assert (made.state == "cancelled") == skipped, f"{notes.name} is {made.state} beside {len(there)} others"
        surplus = there[rule["limit"] - 1 :] if rule["policy"] == "cancel_running" else []
        for run_id in there:
            stopped = run_id in surplus and self._now.runs[run_id].stoppable
            now = Run.objects.get(pk=run_id)
            assert stopped == ("cancelled" in (now.state, now.ending) and self._now.runs[run_id].stoppable)
            self._world.notes[run_id].cancelled |= stopped

    def pause(self, at: int) -> None:
        run_id, _ = self._chosen(at, lambda row: not row.paused and row.state not in RUN_ENDED)
        was = self._now.runs[run_id]
        legal = was.state not in RUN_ENDED and not was.paused
        self._verb(lambda: pauses.pause([run_id], actor=ACTOR), run_id, "pause", legal=legal)

    def resume(self, at: int) -> None:
        run_id, _ = self._chosen(at, lambda row: row.paused)
        was = self._now.runs[run_id]
        legal = was.state not in RUN_ENDED and was.paused
        self._verb(lambda: pauses.resume([run_id], actor=ACTOR), run_id, "resume", legal=legal)

    def mend(self, at: int) -> None:
        """Somebody mends what the run's steps call, and retries."""
        self.retry(at, mended=True)

    def retry(self, at: int, *, mended: bool = False) -> None:
        run_id, notes = self._chosen(at, lambda row: row.state == "failed")
        marks = self._now.marks(run_id)
        again = {s["id"] for s in notes.document["steps"] if marks.get(s["id"]) == "failed" and s["on_error"] == "fail"}
        undos = {name for name in marks if part(name) == "undo"}
        if undos:  # what was undone does not go on, but what could not be undone can
            again = {name for name in undos if marks[name] == "failed"}
        legal = self._now.runs[run_id].state == "failed" and bool(again) and bool(undos or notes.stopped is None)
        if not self._verb(lambda: retries.retry([run_id], actor=ACTOR), run_id, "retry", legal=legal):
            return
        behind = _behind(notes.document["steps"], again)
        gone = {name for name in marks if part(name) not in ("steps", "undo")} | (again if undos else set())
        gone |= {name for name in behind if marks.get(name) == BLOCKED}
        decided = {name: mark for name, mark in marks.items() if part(name) == "steps" and name not in again | gone}
        notes.kept = {name: mark.replace("compensated", "succeeded") for name, mark in decided.items()}
        notes.undone = []
        notes.entry = None if notes.entry in again else notes.entry
        notes.begun -= gone
        notes.mended = notes.mended or mended
        notes.expired = False
        actions.rounds[str(run_id)] = actions.rounds.get(str(run_id), 0) + 1
        if mended:
            actions.mended.add(str(run_id))
        self._world.forget(run_id, again | gone)

    def replay(self, at: int) -> None:
        run_id, notes = self._chosen(at, lambda row: row.state in RUN_ENDED)
        if self._replays == REPLAYS:
            return
        steps = notes.document["steps"]
        step = [None, *(one["id"] for one in steps)][at % (1 + len(steps))]
        handled = {one["id"] for one in steps if one["on_error"] != "fail"}
        behind = _behind(steps, {step}) | {step} if step else {one["id"] for one in steps}
        marks = {name: mark for name, mark in self._now.marks(run_id).items() if part(name) == "steps"}
        kept = {
            name: mark
            for name, mark in marks.items()
            if name not in behind and (mark in ("succeeded", "skipped") or (mark == "failed" and name in handled))
        }
        needs: list[str] = next((one["needs"] for one in steps if one["id"] == step), [])
        legal = self._now.runs[run_id].state in RUN_ENDED and all(need in kept for need in needs)
        if self._verb(lambda: _replayed(run_id, step), run_id, "replay", legal=legal):
            new = Run.objects.order_by("-id").values_list("id", flat=True)[0]
            self._replays += 1
            again = Notes(f"p{self._replays}", notes.flag, notes.document, kept=kept, entry=step)
            self._world.notes[new] = replace(again, copied=frozenset(kept))

    def signal(self, at: int) -> None:
        message = self._message(at)
        self._world.mortal(lambda: signals.send([self._run(at // 2)], message=message, actor=ACTOR))

    def signal_key(self, at: int) -> None:
        message, key = self._message(at), f"k{1 + at // 2 % 2}"
        place = self._flow.workflow.workspace_id
        self._world.mortal(lambda: signals.send_by_key(key, workspace_id=place, message=message, actor=ACTOR))

    def approve(self, at: int) -> None:
        self._decide(at, approved=True)

    def reject(self, at: int) -> None:
        self._decide(at, approved=False)

    def _decide(self, at: int, *, approved: bool) -> None:
        rows = StepRun.objects.filter(signal=SIGNAL, state="waiting").order_by("id")
        places = list(rows.values_list("run_id", "step", "item"))
        if places:
            place = places[at % len(places)]
            decision = approvals.Decision(approved=approved, by="somebody")
            verb = decision.verb
            self._verb(lambda: approvals.decide([place], decision=decision, actor=ACTOR), place[0], verb, legal=True)

    def _verb(self, act: Callable[[], object], run_id: UUID, verb: str, *, legal: bool) -> bool:
        """Whether the verb won; that it wins where it is legal, and only there, unless its process dies."""
        count = Intervention.objects.filter(run_id=run_id, verb=verb).count()
        died = self._world.mortal(act)
        won = Intervention.objects.filter(run_id=run_id, verb=verb).count() > count
        told = f"{verb} of {self._world.notes[run_id].name} " + ("wins" if won else "does nothing")
        self._world.told.append(f"   {told}")
        assert won == legal or (died and not won), f"{told}, and is legal: {legal}"
        return won

    def answer(self) -> None:
        """Let go whatever is held, and give everything that waits without an end what it waits for."""
        for run_id, row in self._now.runs.items():
            if row.paused and row.state not in RUN_ENDED:
                pauses.resume([run_id], actor=ACTOR)
        endless = StepRun.objects.filter(state="waiting", wake_at=None, signal__isnull=False)
        for run_id, step, item, name in list(endless.values_list("run_id", "step", "item", "signal")):
            if name == SIGNAL:
                yes = approvals.Decision(approved=True, by="all")
                approvals.decide([(run_id, step, item)], decision=yes, actor=ACTOR)
            else:
                message = signals.Message(str(name), payload=next(self._payloads))
                signals.send([run_id], message=message, actor=ACTOR)

    def _message(self, at: int) -> signals.Message:
        return signals.Message("ab"[at % 2], payload=next(self._payloads))

    def _run(self, at: int) -> UUID:
        return list(self._world.notes)[at % len(self._world.notes)]

    def _chosen(self, at: int, fits: Callable[[RunRow], bool]) -> tuple[UUID, Notes]:
        """Mostly a run that the verb is for, so that much happens; now and then any run."""
        fitting = [run_id for run_id in self._world.notes if fits(self._now.runs[run_id])] if at < OFTEN else []
        run_id = fitting[at % len(fitting)] if fitting else self._run(at)
        return run_id, self._world.notes[run_id]


def _behind(steps: Sequence[Mapping[str, Any]], names: set[str]) -> set[str]:
    """Every step that comes after these, by needs or by jump."""
    found: set[str] = set()
    # Edges and jumps lead to the right: one pass sees them all.
    for step in steps:
        jumps = {one["id"] for one in steps if one["on_error"] == f"goto:{step['id']}"}
        if (set(step["needs"]) | jumps) & (names | found):
            found.add(step["id"])
    return found


def _replayed(run_id: UUID, step: str | None) -> None:
    try:
        control.replay(run_id, step=step, actor=ACTOR)
    except control.NotNow:
        return
