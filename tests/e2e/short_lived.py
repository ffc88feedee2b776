"""The Celery app of a worker whose children end by themselves after three messages."""

from __future__ import annotations

from project.celery import app

app.conf.worker_max_tasks_per_child = 3
