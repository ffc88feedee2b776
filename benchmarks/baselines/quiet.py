"""Silence the two log lines per task of a baseline's worker; at Celery's default level they would not be written."""

from __future__ import annotations

import logging

from celery.signals import after_setup_logger


def workers() -> None:
    """Silence the lines per task. Workers run with `-l INFO`, because the benchmark waits for their line `ready`."""
    after_setup_logger.connect(_no_line_for_each_task)


def _no_line_for_each_task(**_: object) -> None:
    for name in ("celery.app.trace", "celery.worker.strategy"):
        logging.getLogger(name).setLevel(logging.WARNING)
