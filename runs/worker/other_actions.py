"""Import the actions of other packages as a worker starts, and log those that cannot be used: once, not per child."""

from __future__ import annotations

import logging
from typing import Any

from celery import bootsteps

from actions import registry

log = logging.getLogger(__name__)


class OtherActions(bootsteps.Step):
    """Before the pool forks, so that its children share the memory of what was imported."""

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        log_faults()


def log_faults() -> None:
    """Log each action of another package that cannot be used, and each of their aliases that is taken."""
    for fault in registry.faults():
        log.error(
            "action_unusable", extra={"package": fault.package, "action": fault.action, "error": fault.message[:500]}
        )
