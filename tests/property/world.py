"""Two runs of one definition, the messages about them, and whatever may happen to these."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.db import connection
from django.db.models import F
from django.db.models.functions import Now

from runs.dispatch import dispatcher
from runs.dispatch.compiler import decode
from runs.domain.candidates import Candidate
from runs.domain.states import RUN_ENDED
from runs.engine import lease
from runs.maintenance import suspects
from runs.maintenance.sweep import sweep
from runs.models import Process, Run, StepRun, Ticket
from tests.engine import perform
from tests.flows import begun, published
from tests.property import actions
from tests.property.bus import Bus, Message
from tests.property.faults import Died, LeftBehind, Stopped, dying
from tests.property.hands import Hands
from tests.property.watch import Notes, StepKey, StepRow, View, Watch
from tests.property.worlds import Op, Story

HOUR = timedelta(hours=1)
AGES = timedelta(days=400)
# One more death may make a step poison, of which the oracle knows nothing.
DEATHS = 2
ROUNDS = 80

_TABLES = (
    *("ticket", "itembatch", "steprun", "deadletter", "signal", "effect", "intervention", "run", "process", "state"),
)
_numbers = itertools.count()


@dataclass(frozen=True)
class _Late:
    """A worker that stands still, and the fences under which it would record: rows by claim, tickets by their id."""

    worker: Stopped | LeftBehind
    claims: dict[StepKey, StepRow]
    tickets: dict[StepKey, int]


class World:
    """Everything happens through `happen`, and every look is an assertion."""

    def __init__(self, story: Story, bus: Bus) -> None:
        _empty()
        self.told: list[str] = []
        self._bus, self._late = bus, list[_Late]()
        self._dies: int | None = None
        self._watch = Watch(child=story.child)
        bus.arrived()
        if story.child is not None:
            published(json.dumps(story.child))
        flow = published(json.dumps({**story.document, "name": f"model-{next(_numbers)}"}))
        self._hands = Hands(self, flow=flow)
        notes = [Notes("r0", True, story.document), Notes("r1", False, story.document)]
        self.notes = dict(zip(begun(flow, *(one.input for one in notes)), notes, strict=True))
        for skipped in Run.objects.filter(state="cancelled"):
            self.notes[skipped.pk].cancelled = "concurrency" in story.document
        self.messages: list[Message] = []
        self.look()

    @property
    def now(self) -> View:
        """What the last look saw."""
        return self._watch.now

    def happen(self, op: Op) -> None:
        """One op, and every invariant after it."""
        self._dies = op.dies
        self.told.append(str(op))
        act = getattr(self, f"_{op.what}", None) or getattr(self._hands, op.what)
        act(op.at)
        self.look()

    def look(self) -> None:
        """Take what was sent, and assert what must always be."""
        self.messages += self._bus.arrived()
        self._watch.look(self.notes)
        self._watch.orphans(self.notes)

    def forget(self, run_id: UUID, steps: Iterable[str]) -> None:
        """A retry by hand lets the run go on, and these steps of it begin again."""
        self._watch.forget(run_id, steps)

    def end(self) -> None:
        """No more faults: time passes, people answer, until every run has ended. Frozen workers come back after it."""
        self._dies = None
        for late in [one for one in self._late if self._alive(one)]:
            self._come_back(late)
        for _ in range(ROUNDS):
            # A step whose worker died may outlive its cancelled run, until it is found.
            open_runs = any(row.state not in RUN_ENDED for row in self.now.runs.values())
            if not open_runs and not any(row.state == "running" for row in self.now.steps.values()):
                break
            self._everything_goes_on()
        while self._late:
            self._come_back(self._late[0])
        unended = {self.notes[run_id].name for run_id, row in self.now.runs.items() if row.state not in RUN_ENDED}
        assert not unended, f"{unended} never ended"

    def close(self) -> None:
        """Whatever became of the test: no thread may outlive it."""
        for late in self._late:
            late.worker.die()
        lease.give_up()

    # -- messages ---------------------------------------------------------------------------------------------------

    def _deliver(self, at: int) -> None:
        if (message := self._take(at)) is not None:
            self.mortal(lambda: perform(message))

    def _twice(self, at: int) -> None:
        if (message := self._take(at)) is not None:
            self.mortal(lambda: perform(message))
            self.mortal(lambda: perform(message))

    def _drop(self, at: int) -> None:
        self._take(at)

    def _mute(self, at: int) -> None:
        """Everything that this delivery sends is lost."""
        self._deliver(at)
        self._bus.arrived()

    def _stall(self, at: int) -> None:
        """A worker takes long; its lease is kept."""
        self._stand_still(at, Stopped)

    def _leave(self, at: int) -> None:
        """A delivery leaves its steps behind, and the recorder stands still before it records them."""
        self._stand_still(at, LeftBehind)

    def _desert(self, at: int) -> None:
        """The same, and the lease passes: the child was cut off, with steps behind a message that has ended."""
        if self._may_die():
            self._leave(at)
            self._lose_leases()

    def _stand_still(self, at: int, how: type[Stopped] | type[LeftBehind]) -> None:
        if (message := self._take(at)) is not None:
            before = self.now
            worker = how(lambda: perform(message))
            if not worker.stands:
                worker.go_on()
                return
            self._watch.look(self.notes)
            claims = {
                place: row
                for place, row in self.now.steps.items()
                if row.state == "running" and before.steps.get(place) != row
            }
            self._late.append(_Late(worker, claims, {} if claims else _loaded(message)))

    def _freeze(self, at: int) -> None:
        """The same, and its lease passes."""
        if self._may_die():
            self._stall(at)
            self._lose_leases()

    def _return(self, at: int) -> None:
        if self._late:
            self._come_back(self._late[at % len(self._late)])

    def _sweep(self, at: int) -> None:
        self.mortal(sweep)

    def _alone(self, at: int) -> None:
        """Suspects are performed, each with nothing beside it."""
        self.mortal(suspects.perform_due)

    def _dispatch(self, at: int) -> None:
        self.mortal(dispatcher.dispatch)

    def _past(self, at: int) -> None:
        """An hour passes for every ticket and wait."""
        Ticket.objects.filter(run__paused_at=None).update(due_at=F("due_at") - HOUR, knock_at=F("knock_at") - HOUR)
        StepRun.objects.filter(state="waiting").update(wake_at=F("wake_at") - HOUR)

    def _settle(self, at: int) -> None:
        """Nothing goes wrong for a while, but nobody answers what waits for an answer."""
        for _ in range(3):
            self._past(at)
            self._quietly()

    def _expire(self, at: int) -> None:
        """The run's own time is over."""
        run_id = list(self.notes)[at % len(self.notes)]
        if Run.objects.filter(pk=run_id, deadline__isnull=False).update(deadline=F("deadline") - AGES):
            self.notes[run_id].expired = True

    # -- what these need --------------------------------------------------------------------------------------------

    def _everything_goes_on(self) -> None:
        self._past(0)
        self._hands.answer()
        self._quietly()

    def _quietly(self) -> None:
        orphans = self._watch.orphans(self.notes)
        sweep(alone=suspects.perform_due)
        self.look()
        orphans &= self._watch.orphans(self.notes)
        assert not orphans, f"{[self.notes[one].name for one in orphans]} went on without the step that waited"
        while self.messages:
            perform(self.messages.pop(0))
            self.messages += self._bus.arrived()
        self.look()

    def mortal(self, act: Callable[[], object]) -> bool:
        """Do it; whether the process died on the way."""
        try:
            with dying(self._dies if self._dies is not None and self._may_die() else None):
                act()
        except Died as death:
            self.told.append(f"   dies before {death}")
            self._lose_leases()
            return True
        return False

    def _may_die(self) -> bool:
        """Whether no step becomes poison if everything that runs is lost."""
        lost = (
            sum(1 for one in row.attempts if one["outcome"] == "lost") + (row.state == "running")
            for row in self.now.steps.values()
        )
        return all(count < DEATHS for count in lost)

    @staticmethod
    def _lose_leases() -> None:
        Process.objects.update(expires_at=F("expires_at") - HOUR)
        lease.give_up()

    def _take(self, at: int) -> Message | None:
        if not self.messages:
            return None
        message = self.messages.pop(at % len(self.messages))
        named = [f"{self.notes[one.run_id].name} at {one.head}" for one in _candidates(message)]
        self.told.append(f"   {', '.join(named)}")
        return message

    def _come_back(self, late: _Late) -> None:
        """It records what nobody has taken from it, and changes nothing else of its step."""
        self._late.remove(late)
        before = self._watch.look(self.notes)
        late.worker.go_on()
        for notes in self.notes.values():
            notes.at_pause = None  # a link without a claim may have been under way when the pause came
        self.look()
        for place, row in late.claims.items():
            held = before.steps[place] == row
            assert (self.now.steps[place] != before.steps[place]) == held, f"{place[1]}: fence held {held}"
        for place, ticket in late.tickets.items():
            # A paused run's ticket keeps its number, and is not due: what a late worker brings under it is dropped.
            if before.tickets.get(place) != ticket or before.runs[place[0]].paused:
                assert self.now.steps.get(place) == before.steps.get(place), f"{place[1]}: recorded without its ticket"
            else:
                assert self.now.tickets.get(place) != ticket, f"{place[1]}: not recorded, and its ticket held"

    def _alive(self, late: _Late) -> bool:
        names = {row.process for row in late.claims.values() if row.process is not None}
        return not names or Process.objects.filter(id__in=names).exists()


def _candidates(message: Message) -> list[Candidate]:
    (texts, *_), told, _ = message[1]
    return decode(texts, head=told["head"])


def _loaded(message: Message) -> dict[StepKey, int]:
    """The tickets of a message that claims nothing, as its delivery has read them."""
    candidates = set(_candidates(message))
    rows = Ticket.objects.filter(due_at__lte=Now(), suspect=False).values_list("run_id", "head", "item", "id")
    return {row[:3]: row[3] for row in rows if (row[0], row[2], row[1]) in candidates}


def _empty() -> None:
    lease.give_up()
    actions.forget()
    with connection.cursor() as cursor:
        for table in _TABLES:
            cursor.execute(f"DELETE FROM runs_{table}")
        cursor.execute("DELETE FROM bookings")
