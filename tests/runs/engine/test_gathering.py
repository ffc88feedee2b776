"""Attempts that end close together are recorded together; none waits long for the others."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from runs.domain.outcomes import RunFacts
from runs.engine import under_way
from runs.engine.under_way import Attempt, UnderWay
from runs.engine.work import Clock, Work
from tests.runs.planning.test_plan import plan

_MANY = 60


@pytest.fixture
def gathering() -> UnderWay:
    """Attempts under way that have not ended; nothing performs them."""
    owner = UnderWay()
    found = plan("name: gather\nsteps: [{id: a, action: notify, with: {channel: x}}]")
    run = RunFacts(uuid7(), None, time.time())
    for _ in range(_MANY):
        work = Work(run=run, item=-1, steps={}, clock=Clock(datetime.now(UTC)))
        now = time.monotonic()
        owner.attempts.add(Attempt(found, found.steps["a"], work, UUID(int=1), now, now + 60, owner.inbox))
    return owner


def test_attempts_that_have_ended_are_recorded_together(gathering: UnderWay) -> None:
    for one in list(gathering.attempts):
        one.tell()
    assert len(gathering.gather(until=time.monotonic() + 30)) == _MANY
    assert not gathering.attempts


def test_no_attempt_waits_long_for_others_that_end_one_after_another(gathering: UnderWay) -> None:
    def end(attempts: list[Attempt]) -> None:
        for one in attempts:
            one.tell()
            time.sleep(under_way.GATHER_SECONDS / 2)

    thread = threading.Thread(target=end, args=[list(gathering.attempts)])
    thread.start()
    first = gathering.gather(until=time.monotonic() + 30)
    thread.join()
    # They end over 60 ms at least; the first of them waits for 10 ms at most.
    assert 1 <= len(first) < _MANY
    assert len(gathering.attempts) == _MANY - len(first)


def test_nothing_is_gathered_after_the_time_until_which_the_owner_waits(gathering: UnderWay) -> None:
    began = time.monotonic()
    assert gathering.gather(until=began + 0.02) == []
    assert len(gathering.attempts) == _MANY
