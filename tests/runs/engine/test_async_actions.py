"""Actions with `async def perform`: on one event loop of their process, under the limits of every other action."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from typing import ClassVar

import pytest
from django.db.models.functions import Now
from pytest_django import Settings

from actions import registry
from actions.base import Action, Cancelled, Config, Context, Json, Park, Permanent
from runs.control import stops
from runs.domain.actor import Actor
from runs.engine import event_loop
from runs.maintenance.sweep import sweep
from runs.models import Ticket
from runs.worker.alone import Alone
from tests.engine import deliver, drain, messages
from tests.flows import begun, published, states, steps, the_run
from tests.runs.engine.held import as_in_another_process
from tests.runs.locks import in_thread
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)


class AwaitsConfig(Config):
    do: str
    seconds: float = 0.0


class Awaits(Action[AwaitsConfig]):
    """Does what its config says, on the event loop."""

    name: ClassVar[str] = "awaits"
    config_class: ClassVar[type[Config]] = AwaitsConfig
    cancelled: ClassVar[list[str]] = []
    now: ClassVar[int] = 0
    most: ClassVar[int] = 0

    async def perform(self, config: AwaitsConfig, context: Context) -> Json | Park:
        if config.do == "sleep":
            Awaits.now += 1
            Awaits.most = max(Awaits.most, Awaits.now)
            try:
                await asyncio.sleep(config.seconds)
            except asyncio.CancelledError:
                self.cancelled.append(context.run_id)
                raise
            finally:
                Awaits.now -= 1
        if config.do == "fail":
            raise Permanent("on purpose", kind="purpose")
        if config.do == "time out":
            raise TimeoutError("of the peer")
        if config.do == "cancel itself":
            raise asyncio.CancelledError
        if config.do == "park":
            return Park(wake_at=context.now, output={"woken": True})
        if config.do == "die" and context.attempt == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        if config.do == "ask":
            while not context.cancelled():
                await asyncio.sleep(0.05)
            raise Cancelled()
        once = await asyncio.to_thread(context.once, "name", lambda: threading.current_thread().name)
        return {"thread": threading.current_thread().name, "helper": once, "attempt": context.attempt}


FLOW = """
name: awaiting
steps:
  - id: a
    action: awaits
    with: {do: "{{ input.do }}", seconds: "{{ input.seconds|default(0) }}"}
    timeout: 500ms
    retry: {max_attempts: 1}
"""


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(registry.ACTIONS, "awaits", f"{__name__}.Awaits")
    as_in_another_process()
    event_loop._forget()
    Awaits.cancelled.clear()
    Awaits.now = Awaits.most = 0
    yield
    as_in_another_process()


def test_each_end_of_a_coroutine_is_recorded_as_that_of_any_other_action() -> None:
    flow = published(FLOW)
    does = ["sleep", "fail", "time out", "cancel itself", "park"]
    ids = begun(flow, *[{"do": what, "seconds": 0.01} for what in does])
    drain()
    rows = [steps(one)["a"] for one in ids]
    assert rows[0].output == {"thread": "event-loop", "helper": "step-helper_0", "attempt": 1}
    told = [((row.error or {}).get("kind"), (row.error or {}).get("message")) for row in rows]
    assert told[1:4] == [
        ("purpose", "on purpose"),
        ("error", "TimeoutError: of the peer"),
        ("error", "the task of step 'a' was cancelled by its own action"),
    ]
    assert (rows[4].state, rows[4].output) == ("succeeded", {"woken": True})


def test_coroutines_share_one_loop_and_end_at_their_timeout() -> None:
    flow = published(FLOW)
    ids = begun(flow, *[{"do": "sleep", "seconds": seconds} for seconds in (0.2, 0.2, 0.2, 30, 30)])
    drain()
    assert Awaits.most == 5
    assert [states(one)["a"] for one in ids] == ["succeeded"] * 3 + ["failed"] * 2
    late = steps(ids[4])["a"].error
    assert late is not None
    assert (late["kind"], "did not end within its timeout of 0.5 s" in late["message"]) == ("timeout", True)
    wait_for(lambda: len(Awaits.cancelled) == 2, what="the tasks to be cancelled")
    assert set(Awaits.cancelled) == {str(one) for one in ids[3:]}
    assert [thread.name for thread in threading.enumerate()].count("event-loop") <= 2  # one of an earlier test


def test_a_coroutine_is_told_of_a_cancel(settings: Settings) -> None:
    settings.PROCESS_LEASE_SECONDS = 2.0
    [run_id] = begun(published(FLOW.replace("500ms", "50s")), {"do": "ask"})
    with in_thread(deliver):
        wait_for(lambda: states(run_id) == {"a": "running"}, what="the step's start")
        stops.cancel([run_id], actor=Actor())
        wait_for(lambda: states(run_id)["a"] == "cancelled", what="the step's early end")
    drain()
    assert the_run(run_id).state == "cancelled"


def test_a_coroutine_whose_process_is_killed_is_performed_again() -> None:
    [run_id] = begun(published(FLOW), {"do": "die"})
    messages()
    Ticket.objects.update(suspect=True, knock_at=Now())
    alone = Alone()
    assert alone.start() == 1
    alone.stop(within_seconds=20)
    assert sweep().rescued == 1
    drain()
    row = steps(run_id)["a"]
    assert (row.state, row.attempt, [tried["outcome"] for tried in row.attempts]) == ("succeeded", 2, ["lost"])
