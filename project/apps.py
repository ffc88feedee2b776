"""The project as an app: it makes Celery's app the current one, and registers the system checks, and tells actions
what they may reach."""

from __future__ import annotations

from django.apps import AppConfig
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured


class ProjectConfig(AppConfig):
    name = "project"
    label = "project"

    def ready(self) -> None:
        # Imported for their effect: every process sends through our Celery app, not only workers.
        from actions import network
        from project import celery, checks  # noqa: F401

        try:
            network.configure(settings.OUTBOUND_ALLOW, connections=settings.IO_THREADS)
        except ValueError as error:
            raise ImproperlyConfigured(str(error)) from None
