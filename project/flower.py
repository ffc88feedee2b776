"""The Celery app of Flower. It only needs the broker, so neither Django's apps nor our tasks are loaded.

Flower's `/metrics` is taken away: it shows workers and tasks to anybody, without the login. The web server's `/metrics`
takes a token.

Flower is open while somebody who has logged in asks it for pages; its pages refresh themselves. Only then does it ask
the workers for the events of tasks (project/task_events.py). Flower itself would ask for them as long as it runs.
"""

from __future__ import annotations

import os
import time
from typing import Any

from celery import Celery
from django.conf import settings
from flower import app as flower_app
from flower import command, events, urls
from flower.views import BaseHandler, monitor

from project import broker

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")

urls.handlers[:] = [
    handler for handler in urls.handlers if not (isinstance(handler, tuple) and handler[0] == "/metrics")
]

# Longer than a page waits before it refreshes itself, and than most people look at one that does not.
_OPEN_SECONDS = 300.0


class EventsWhileOpen(events.Events):  # type: ignore[misc]  # flower has no types
    """Flower's receiver of events, which asks for them only while Flower is open."""

    _open_until = 0.0

    def keep_open(self) -> None:
        """Ask for events from now on, until nobody has asked for a page for five minutes."""
        was_open, self._open_until = self._is_open(), time.monotonic() + _OPEN_SECONDS
        if not was_open:
            self.io_loop.add_callback(self.on_enable_events)

    async def on_enable_events(self) -> None:
        """Called by Flower every 5 s."""
        if self._is_open():
            await super().on_enable_events()

    def _is_open(self) -> bool:
        return time.monotonic() < self._open_until


class FlowerWhileOpen(flower_app.Flower):  # type: ignore[misc]  # as above
    """Flower, which notes whether somebody looks at it."""

    def log_request(self, handler: Any) -> None:
        """Called by Tornado at the end of every request. Files, probes and what was refused open nothing."""
        is_page = isinstance(handler, BaseHandler) and not isinstance(handler, monitor.Healthcheck)
        if is_page and handler.get_status() < 400:
            self.events.keep_open()
        super().log_request(handler)


flower_app.Events = EventsWhileOpen
command.Flower = FlowerWhileOpen

# No fixups: Celery's Django fixup would set up all of Django's apps.
app = Celery("stepwise", fixups=[])
app.conf.update(
    broker_url=settings.REDIS_URL,
    broker_transport_options=broker.transport(),
    broker_connection_retry_on_startup=True,
    result_backend=None,
    task_default_queue="runs",
    accept_content=["json"],
    timezone="UTC",
    enable_utc=True,
)
