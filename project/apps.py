"""The project's Django app: loads the Celery app and the system checks, and configures the network guard."""

from __future__ import annotations

from django.apps import AppConfig
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured


class ProjectConfig(AppConfig):
    name = "project"
    label = "project"

    def ready(self) -> None:
        # Imported for their side effects: all processes, not only workers, send messages through our Celery app.
        from actions import network
        from project import celery, checks  # noqa: F401

        try:
            network.configure(settings.OUTBOUND_ALLOW, connections=settings.IO_THREADS)
        except ValueError as error:
            raise ImproperlyConfigured(str(error)) from None
