"""Let a baseline's worker write no two lines for each task, as a Celery worker at its own usual level would not."""

from __future__ import annotations

import logging

from celery.signals import after_setup_logger


def workers() -> None:
    """Workers are started with `-l INFO`, where they say that they are ready; the lines for each task are left out."""
    after_setup_logger.connect(_no_line_for_each_task)


def _no_line_for_each_task(**_: object) -> None:
    for name in ("celery.app.trace", "celery.worker.strategy"):
        logging.getLogger(name).setLevel(logging.WARNING)
