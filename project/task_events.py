"""Celery's events for Flower: which tasks a worker received, started and ended, and that it is there.

A task's events are three more messages for each of ours, so a worker sends them only while Flower is open in somebody's
browser: Flower then repeats Celery's remote command `enable_events` every 5 s (project/flower.py), and a worker that
has not heard it for a minute sends none. With TASK_EVENTS=always it sends them all the time. The answer to that command
is also the worker's heartbeat, so that workers need no timer for it.

Loaded in a worker's main process only, by name (project/celery.py).
"""

from __future__ import annotations

import time
from typing import Any

from celery import bootsteps
from celery.worker import state as worker_state
from celery.worker.consumer.events import Events
from celery.worker.control import control_command
from django.conf import settings

_EXPIRE_SECONDS = 60.0
_LOOK_SECONDS = 10.0
# Flower shows a worker as offline if its last heartbeat is older than twice this.
_HEARTBEAT_SECONDS = 15


class TaskEvents(bootsteps.StartStopStep):
    """Switches the events of tasks off where nobody has asked for them lately.

    Celery's step `Events` makes the dispatcher, with the groups that the one before a lost connection had.
    """

    requires = (Events,)

    def __init__(self, consumer: Any, **options: Any) -> None:
        self._timer: Any = None
        consumer.task_events_until = float("inf") if settings.TASK_EVENTS == "always" else 0.0
        super().__init__(consumer, **options)

    def start(self, consumer: Any) -> None:
        """Called whenever the worker has connected to the broker."""
        _expire(consumer)
        self._timer = consumer.timer.call_repeatedly(_LOOK_SECONDS, _expire, (consumer,))

    def stop(self, consumer: Any) -> None:
        """Called whenever the connection is lost."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    shutdown = stop


@control_command(name="enable_events")
def enable_events(state: Any) -> dict[str, str]:
    """Send the events of tasks for the next minute, and a heartbeat now. Takes the place of Celery's own command."""
    consumer = state.consumer
    consumer.task_events_until = max(consumer.task_events_until, time.monotonic() + _EXPIRE_SECONDS)
    dispatcher = consumer.event_dispatcher
    if dispatcher is None:
        return {"error": "the worker is just connecting to the broker; ask again"}
    # No groups are all groups.
    if dispatcher.groups:
        dispatcher.groups.add("task")
    dispatcher.send(
        "worker-heartbeat",
        freq=_HEARTBEAT_SECONDS,
        active=len(worker_state.active_requests),
        processed=worker_state.all_total_count[0],
        **worker_state.SOFTWARE_INFO,
    )
    return {"ok": f"task events are sent for the next {_EXPIRE_SECONDS:.0f} s"}


def _expire(consumer: Any) -> None:
    dispatcher = consumer.event_dispatcher
    if dispatcher is not None and time.monotonic() >= consumer.task_events_until:
        dispatcher.groups = {"worker"}
