"""The project as an app: it makes Celery's app the current one, and registers the system checks."""

from __future__ import annotations

from django.apps import AppConfig


class ProjectConfig(AppConfig):
    name = "project"
    label = "project"

    def ready(self) -> None:
        # Imported for their effect: every process sends through our Celery app, not only workers.
        from project import celery, checks  # noqa: F401
