"""A bomb fails as its step; one that gets past the charge ends its process, and no other step is blamed or lost."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable
from typing import ClassVar

import pytest
from django.db import connections
from pytest_django import Settings

from actions import registry
from actions.base import ONCE, Action, Config, Context, Json, Retry
from runs.engine import memory_limit
from runs.maintenance.sweep import MAX_LOST, sweep
from runs.models import DeadLetter, Ticket
from runs.worker.alone import Alone
from tests.engine import drain
from tests.flows import begun, published, states, steps, the_run

pytestmark = pytest.mark.django_db(transaction=True)


class _Hog(Action[Config]):
    """Takes the gigabytes that its input says, unless its input says none."""

    name: ClassVar[str] = "hog"
    config_class: ClassVar[type[Config]] = Config
    retry: ClassVar[Retry] = ONCE

    def perform(self, config: Config, context: Context) -> Json:
        given = context.names["input"]
        wanted = given.get("gigabytes", 0) if isinstance(given, dict) else 0
        assert isinstance(wanted, int)
        return {"bytes": len(bytearray(wanted << 30))}


@pytest.fixture(autouse=True)
def _hog(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.ACTIONS, _Hog.name, f"{__name__}.{_Hog.__name__}")


HOG = "name: hog\nsteps: [{id: a, action: hog}]"
BOMB = 'name: bomb\nsteps: [{id: a, action: transform, with: {set: {n: "{{ [input.s, input.s]|tojson|length }}"}}}]'


def in_a_child(work: Callable[[], object]) -> int:
    """Call it in a process of its own, as a worker's child; return the status with which that ended."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            for connection in connections.all(initialized_only=True):
                connection.connection = None
            memory_limit.begin()
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitpid(pid, 0)[1]


def test_a_bomb_fails_as_its_step_and_one_past_the_charge_ends_its_process_alone(settings: Settings) -> None:
    settings.WORKER_CHILD_ADDRESS_SPACE_MEGABYTES = 8 * 1024
    [charged] = begun(published(BOMB), {"s": "x" * 1_500_000})
    [bomb, *neighbours] = begun(published(HOG), {"gigabytes": 64}, *[{}] * 5)
    died = in_a_child(drain)
    assert os.WIFSIGNALED(died)
    assert os.WTERMSIG(died) == signal.SIGKILL
    alone = Alone()
    for _ in range(2 + MAX_LOST):
        sweep()
        if Ticket.objects.update(knock_at="2020-01-01T00:00Z", due_at="2020-01-01T00:00Z"):
            alone.start()
            alone.stop(within_seconds=60)
    drain()
    assert states(charged) == {"a": "failed"}
    assert "makes too much" in str(steps(charged)["a"].error)
    assert {letter.run_id: letter.reason for letter in DeadLetter.objects.all()} == {charged: "failed", bomb: "poison"}
    assert {the_run(one).state for one in neighbours} == {"succeeded"}
    blamed = [tried["outcome"] for one in neighbours for tried in steps(one)["a"].attempts]
    assert set(blamed) <= {"lost"}, "lost with the child, which does not count as a try"


def test_the_limit_is_soft_and_may_be_none(settings: Settings) -> None:
    def limited(megabytes: int) -> tuple[int, int]:
        settings.WORKER_CHILD_ADDRESS_SPACE_MEGABYTES = megabytes
        reading, writing = os.pipe()

        def tell() -> None:
            os.write(writing, repr(resource.getrlimit(resource.RLIMIT_AS)).encode())

        assert in_a_child(tell) == 0
        soft, hard = os.read(reading, 100).decode().strip("()").split(", ")
        os.close(reading)
        os.close(writing)
        return int(soft), int(hard)

    before = resource.getrlimit(resource.RLIMIT_AS)
    assert limited(0) == before
    assert limited(8 * 1024) == (8 << 30, before[1])


def test_a_process_without_the_limit_only_fails_the_step() -> None:
    [bomb] = begun(published(HOG), {"gigabytes": 1 << 20})
    drain()
    assert states(bomb) == {"a": "failed"}
    assert "MemoryError" in str(steps(bomb)["a"].error)
