"""The Celery app of Flower. It only needs the broker, so neither Django's apps nor our tasks are loaded.

Flower's `/metrics` is taken away: it shows workers and tasks to anybody, without the login. The web server's `/metrics`
takes a token.
"""

from __future__ import annotations

import os

from celery import Celery
from django.conf import settings
from flower import urls

from project import broker

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")

urls.handlers[:] = [
    handler for handler in urls.handlers if not (isinstance(handler, tuple) and handler[0] == "/metrics")
]

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
