"""Run the engine inside the test's process: real messages through the real broker, performed here one by one."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any
from uuid import UUID

from celery import current_app
from celery.app.trace import trace_task
from kombu.exceptions import OperationalError

from runs.dispatch import dispatcher
from runs.domain.candidates import Candidate
from runs.engine import executor, tickets
from runs.engine import recorder as recorders
from runs.maintenance import alerts, suspects
from runs.maintenance.sweep import unblock, wake
from runs.models import Run
from runs.queries.database import Row
from runs.worker import tasks
from tests.waiting import wait_for


def messages() -> list[tuple[dict[str, Any], list[Any]]]:
    """Take every message off the queue: headers and body of each, oldest first."""
    found = []
    with _queue() as waiting:
        while True:
            try:
                message = waiting.get_nowait()
            except (waiting.Empty, OperationalError):
                break
            message.ack()
            found.append((message.headers, message.payload))
    return found


def perform(message: tuple[dict[str, Any], list[Any]]) -> None:
    """Let a task message be performed as a worker's child does, which also sends the next link of its chain."""
    headers, (args, kwargs, embed) = message
    assert headers["task"] == tasks.advance.name
    request = {**headers, "chain": embed["chain"], "delivery_info": {}, "is_eager": False}
    _, info, *_ = trace_task(tasks.advance, headers["id"], args, kwargs, request=request, app=current_app)
    if info is not None and info.state == "FAILURE":
        raise info.retval


def deliver() -> int:
    """Perform the messages that are in the broker now; answers how many there were."""
    found = messages()
    for message in found:
        perform(message)
    return len(found)


def drain(*, rounds: int = 1000) -> None:
    """Perform until nothing is due or under way any more. Retries and waits that lie in the future stay."""
    for _ in range(rounds):
        # First of all: what the recorder records may wake, release and send, until the moment that it is idle.
        settled = settle()
        woken = wake() + unblock() + alerts.send() + suspects.perform_due()
        sent = dispatcher.dispatch()
        if not woken + sent + deliver() + settled:
            return
    raise AssertionError(f"the engine still found work after {rounds} rounds")


def claim(run_id: UUID, head: str, *, process: UUID) -> list[Row]:
    """Claim a run's step, as a worker does that then does nothing with it."""
    return claim_all([Candidate(run_id, -1, head)], process=process)


def claim_all(candidates: Sequence[Candidate], *, process: UUID) -> list[Row]:
    """The same for many, suspects or not, with a deadline in a minute."""
    timeouts = {one.head: 60.0 for one in candidates}
    found = tickets.claim(candidates, reads={}, timeouts=timeouts, process=process)
    return found + tickets.claim(candidates, reads={}, timeouts=timeouts, process=process, suspect=True)


@contextmanager
def link_by_link() -> Iterator[None]:
    """Inside the block, the time of every delivery is over at once: each takes its runs through one link only."""
    before = executor.SHORT_BUDGET_SECONDS, executor.BUDGET_SECONDS
    executor.SHORT_BUDGET_SECONDS = executor.BUDGET_SECONDS = 0.0
    try:
        yield
    finally:
        executor.SHORT_BUDGET_SECONDS, executor.BUDGET_SECONDS = before


def settle() -> bool:
    """Wait until the recorder has recorded what deliveries left behind; whether there was anything."""
    recorder = recorders.existing()
    if recorder is None or recorder.idle:
        return False
    wait_for(lambda: recorder.idle, what="what was left behind to be recorded", timeout_seconds=60)
    return True


def state(run_id: UUID) -> str:
    """The run's state as it stands in the database."""
    return str(Run.objects.values_list("state", flat=True).get(pk=run_id))


@contextmanager
def _queue() -> Iterator[Any]:
    """The queue of task messages; each thread but the first has a connection for each block."""
    if threading.current_thread() is threading.main_thread():
        yield _kept_queue(str(current_app.conf.broker_url))
    else:
        with current_app.connection_for_read() as connection:
            waiting = connection.SimpleQueue(current_app.conf.task_default_queue)
            yield waiting
            waiting.close()


@lru_cache(maxsize=1)
def _kept_queue(url: str) -> Any:
    """Over a connection that is kept for this address: to open one takes longer than most that a test does."""
    return current_app.connection_for_read(url).SimpleQueue(current_app.conf.task_default_queue)
