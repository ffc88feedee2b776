"""Run the engine inside the test's process: real messages through the real broker, performed here one by one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any
from uuid import UUID

from celery import current_app
from celery.app.trace import trace_task
from kombu.exceptions import OperationalError

from runs.dispatch import dispatcher
from runs.maintenance import alerts
from runs.maintenance.sweep import unblock, wake
from runs.models import Run
from runs.worker import tasks


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
    """Perform until nothing is due any more. Retries and waits that lie in the future stay."""
    for _ in range(rounds):
        woken = wake() + unblock() + alerts.send()
        sent = dispatcher.dispatch()
        if not woken + sent + deliver():
            return
    raise AssertionError(f"the engine still found work after {rounds} rounds")


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
