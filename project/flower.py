"""Flower's Celery app: it looks at the broker, and needs neither Django's apps nor our tasks in its memory."""

from __future__ import annotations

import os

from celery import Celery
from django.conf import settings

from project import broker

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")

# Without Celery's Django fix-up, which would set up every app.
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
