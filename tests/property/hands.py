"""What people and other systems do to the runs from outside, each verb at any moment."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from actions.approval import SIGNAL
from runs import approvals, control, signals
from runs.control import Hand
from runs.models import Intervention, Run, StepRun
from runs.states import RUN_ENDED
from tests.property import actions
from tests.property.oracle import BLOCKED
from tests.property.watch import Notes, View, part

if TYPE_CHECKING:
    from tests.property.world import World

HAND = Hand(why="the story says so")
REPLAYS = 2


class Hands:
    """The verbs. Each is tried whether it is legal or not, and must win exactly where it is."""

    def __init__(self, world: World, *, steps: Sequence[Mapping[str, Any]], workspace_id: UUID) -> None:
        self._world, self._steps, self._workspace_id = world, steps, workspace_id
        self._payloads = itertools.count(1)

    @property
    def _now(self) -> View:
        return self._world.now

    def cancel(self, at: int) -> None:
        run_id, notes = self._chosen(at)
        was = self._now.runs[run_id]
        legal = was.state in ("queued", "running", "waiting") and was.ending is None
        won = self._verb(lambda: control.cancel([run_id], hand=HAND), run_id, "cancel", legal=legal)
        notes.unborn = notes.unborn or (won and was.state == "queued")

    def pause(self, at: int) -> None:
        run_id = self._run(at)
        was = self._now.runs[run_id]
        legal = was.state not in RUN_ENDED and not was.paused
        self._verb(lambda: control.pause([run_id], hand=HAND), run_id, "pause", legal=legal)

    def resume(self, at: int) -> None:
        run_id = self._run(at)
        was = self._now.runs[run_id]
        legal = was.state not in RUN_ENDED and was.paused
        self._verb(lambda: control.resume([run_id], hand=HAND), run_id, "resume", legal=legal)

    def mend(self, at: int) -> None:
        """Somebody mends what the run's steps call, and retries."""
        self.retry(at, mended=True)

    def retry(self, at: int, *, mended: bool = False) -> None:
        run_id, notes = self._chosen(at)
        marks = self._now.marks(run_id)
        again = {s["id"] for s in self._steps if marks.get(s["id"]) == "failed" and s["on_error"] == "fail"}
        undone = any(name.startswith("undo:") for name in marks)
        legal = self._now.runs[run_id].state == "failed" and bool(again) and not undone and notes.stopped is None
        if not self._verb(lambda: control.retry([run_id], hand=HAND), run_id, "retry", legal=legal):
            return
        behind = self._behind(again)
        gone = {name for name in marks if part(name) != "steps" or (marks[name] == BLOCKED and name in behind)}
        notes.kept = {name: mark for name, mark in marks.items() if name not in again | gone}
        notes.entry = None if notes.entry in again else notes.entry
        notes.begun -= gone
        notes.mended = notes.mended or mended
        notes.expired = False
        actions.rounds[str(run_id)] = actions.rounds.get(str(run_id), 0) + 1
        if mended:
            actions.mended.add(str(run_id))
        self._world.forget(run_id, again | gone)

    def replay(self, at: int) -> None:
        run_id, notes = self._chosen(at)
        if len(self._world.notes) == 2 + REPLAYS:
            return
        step = [None, *(one["id"] for one in self._steps)][at % (1 + len(self._steps))]
        handled = {one["id"] for one in self._steps if one["on_error"] != "fail"}
        behind = self._behind({step}) | {step} if step else {one["id"] for one in self._steps}
        marks = {name: mark for name, mark in self._now.marks(run_id).items() if part(name) == "steps"}
        kept = {
            name: mark
            for name, mark in marks.items()
            if name not in behind and (mark in ("succeeded", "skipped") or (mark == "failed" and name in handled))
        }
        needs: list[str] = next((one["needs"] for one in self._steps if one["id"] == step), [])
        legal = self._now.runs[run_id].state in RUN_ENDED and all(need in kept for need in needs)
        if self._verb(lambda: _replayed(run_id, step), run_id, "replay", legal=legal):
            new = Run.objects.order_by("-id").values_list("id", flat=True)[0]
            name = f"r{len(self._world.notes)}"
            self._world.notes[new] = Notes(name, notes.flag, kept=kept, copied=frozenset(kept), entry=step)

    def signal(self, at: int) -> None:
        message = self._message(at)
        self._world.mortal(lambda: signals.send([self._run(at // 2)], message=message, hand=HAND))

    def signal_key(self, at: int) -> None:
        message, key = self._message(at), f"k{1 + at // 2 % 2}"
        place = self._workspace_id
        self._world.mortal(lambda: signals.send_by_key(key, workspace_id=place, message=message, hand=HAND))

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
            self._verb(lambda: approvals.decide([place], decision=decision, hand=HAND), place[0], verb, legal=True)

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
                control.resume([run_id], hand=HAND)
        endless = StepRun.objects.filter(state="waiting", wake_at=None).values_list("run_id", "step", "item", "signal")
        for run_id, step, item, name in list(endless):
            if name == SIGNAL:
                yes = approvals.Decision(approved=True, by="all")
                approvals.decide([(run_id, step, item)], decision=yes, hand=HAND)
            else:
                message = signals.Message(str(name), payload=next(self._payloads))
                signals.send([run_id], message=message, hand=HAND)

    def _message(self, at: int) -> signals.Message:
        return signals.Message("ab"[at % 2], payload=next(self._payloads))

    def _run(self, at: int) -> UUID:
        return list(self._world.notes)[at % len(self._world.notes)]

    def _chosen(self, at: int) -> tuple[UUID, Notes]:
        return self._run(at), self._world.notes[self._run(at)]

    def _behind(self, names: set[str]) -> set[str]:
        """Every step that comes after these, by needs or by jump."""
        found: set[str] = set()
        # Edges and jumps lead to the right: one pass sees them all.
        for step in self._steps:
            jumps = {one["id"] for one in self._steps if one["on_error"] == f"goto:{step['id']}"}
            if (set(step["needs"]) | jumps) & (names | found):
                found.add(step["id"])
        return found


def _replayed(run_id: UUID, step: str | None) -> None:
    try:
        control.replay(run_id, step=step, hand=HAND)
    except control.NotNow:
        return
