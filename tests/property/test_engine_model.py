"""Random workflows under random trouble: every run ends as a sequential oracle says, and nothing breaks on the way."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db.models import F
from hypothesis import HealthCheck, given, note, settings

from actions import registry
from runs import dispatch, executor, lease, sweep_queries, transitions
from runs import plan as plans
from runs.compiler import decode
from runs.database import run
from runs.models import DeadLetter, Process, Run, StepRun, Ticket
from runs.recovery import sweep
from runs.states import RUN_ENDED, STEP_ENDED
from tests.engine import drain, messages, perform
from tests.flows import begun, published
from tests.property import actions
from tests.property.oracle import expected
from tests.property.worlds import definitions, happenings

pytestmark = pytest.mark.django_db(transaction=True)

HOUR = timedelta(hours=1)
# More of them with STEPWISE_PROPERTY_EXAMPLES=1000.
EXAMPLES = int(os.environ.get("STEPWISE_PROPERTY_EXAMPLES", "60"))
# More deaths than this may make a step poison, of which the oracle knows nothing.
DEATHS = 2


@pytest.fixture(autouse=True)
def _scripts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(registry.ACTIONS, "scripted", "tests.property.actions.Scripted")
    monkeypatch.setitem(registry.ACTIONS, "scripted_pure", "tests.property.actions.ScriptedPure")
    yield
    lease.give_up()


class World:
    """Some runs of one definition, the messages about them, and what may never change any more."""

    def __init__(self, document: dict[str, Any]) -> None:
        for model in (Ticket, StepRun, DeadLetter, Run, Process):
            model.objects.all().delete()
        lease.give_up()
        messages()
        actions.performed.clear()
        self.bus: list[Any] = []
        self.ended: dict[object, object] = {}
        self.released: dict[tuple[UUID, str], int] = {}
        self.deaths = 0
        self.zombies: list[Any] = []
        flow = published(json.dumps(document))
        self.plan = plans.load(flow.version.pk)
        self.runs = dict(zip((True, False), begun(flow, {"flag": True}, {"flag": False}), strict=True))
        self.look()

    def happen(self, op: str, at: int) -> None:
        """One op, to the message at this place of the bus."""
        if op == "sweep":
            sweep()
        elif op == "dispatch":
            dispatch.dispatch()
        elif op == "past":
            past()
        elif op == "return":
            if self.zombies:
                self._come_back(self.zombies.pop(at % len(self.zombies)))
        elif self.bus:
            message = self.bus.pop(at % len(self.bus))
            if op in ("deliver", "twice"):
                perform(message)
            if op == "twice":
                perform(message)
            if op in ("crash", "zombie"):
                self._die(message, comes_back=op == "zombie")
        self.look()

    def end(self) -> None:
        """No more faults: time passes until every run has ended."""
        for _ in range(80):
            past()
            sweep()
            drain()
            self.look()
            if not Run.objects.exclude(state__in=RUN_ENDED).exists():
                break
        for late in self.zombies:
            self._come_back(late)
        self.look()

    def look(self) -> None:
        """The invariants."""
        self.bus += messages()
        assert run(sweep_queries.AUDIT, limit=10) == []
        self._nothing_ended_changes()
        self._nothing_is_released_twice()
        assert len(set(actions.performed)) == len(actions.performed), "an attempt was performed twice"

    def _nothing_ended_changes(self) -> None:
        steps = StepRun.objects.filter(state__in=STEP_ENDED).order_by("id")
        now: dict[object, object] = {
            (row["run_id"], row["step"]): row
            for row in steps.values("run_id", "step", "state", "attempt", "finished_at")
        }
        runs = Run.objects.filter(state__in=RUN_ENDED)
        now |= {row["id"]: row for row in runs.values("id", "state", "output", "error", "finished_at")}
        assert {key: now.get(key) for key in self.ended} == self.ended
        self.ended = now

    def _nothing_is_released_twice(self) -> None:
        begun_steps = set(StepRun.objects.values_list("run_id", "step"))
        for run_id, head, ticket in Ticket.objects.values_list("run_id", "head", "id"):
            if (run_id, head) not in begun_steps:
                assert self.released.setdefault((run_id, head), ticket) == ticket, f"{head} was released twice"

    def _die(self, message: Any, *, comes_back: bool) -> None:
        """The worker performs and dies before it records; a pure link leaves no trace of that."""
        (keys,), told, _ = message[1]
        link = self.plan.link(told["head"])
        if self.deaths == DEATHS or link.head.inline:
            return
        self.deaths += 1
        with lease.holding() as take:
            outcomes = executor._slice(decode(keys), plan=self.plan, link=link, take=take)
        Process.objects.filter(id=lease.current()).update(expires_at=F("expires_at") - HOUR)
        lease.give_up()
        if comes_back:
            self.zombies.append(outcomes)

    def _come_back(self, outcomes: Any) -> None:
        """A worker that was only frozen records what it has: it wins what nobody has taken from it."""
        its_own = {outcome.key for outcome in outcomes if self._still_its_own(outcome)}
        assert transitions.record(outcomes, plan=self.plan).won == its_own

    def _still_its_own(self, outcome: Any) -> bool:
        held = StepRun.objects.filter(
            run_id=outcome.run.id,
            step=outcome.last.step,
            state="running",
            attempt=outcome.fence.attempt,
            process=outcome.fence.process,
        )
        return held.exists()


def past() -> None:
    """An hour passes for every ticket and wait."""
    Ticket.objects.update(due_at=F("due_at") - HOUR, knock_at=F("knock_at") - HOUR)
    StepRun.objects.filter(state="waiting").update(wake_at=F("wake_at") - HOUR)


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(document=definitions(), ops=happenings)
def test_every_run_ends_as_the_oracle_says_whatever_happens_on_the_way(
    document: dict[str, Any], ops: list[tuple[str, int]]
) -> None:
    world = World(document)
    for op, at in ops:
        world.happen(op, at)
    world.end()
    for flag, run_id in world.runs.items():
        wanted = expected(document, flag=flag)
        found = Run.objects.get(pk=run_id)
        states = dict(StepRun.objects.filter(run_id=run_id).values_list("step", "state"))
        note(f"flag {flag}: wanted {wanted}, found {found.state} {states}")
        assert states == wanted.steps
        assert found.state == wanted.run
        if "wait" not in {step["action"] for step in document["steps"]}:
            assert found.output == wanted.output
