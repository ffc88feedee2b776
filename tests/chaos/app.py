"""The project's Celery app in a process that can be made to go wrong: `celery -A tests.chaos.app worker`.

CHAOS_HOME is the tests' directory (tests.chaos.faulty). CHAOS_CLOCK_SECONDS moves this process's clocks, CHAOS_HOST
says on which host it believes to be, CHAOS_REPEAT_SECONDS after how long an unanswered knock is repeated,
CHAOS_LATE=1 that it has the action `chaos_late`.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import time_machine
from celery.signals import celeryd_after_setup

# First, so that whatever looks at the clock while it is imported is wrong, too.
if shift := int(os.environ.get("CHAOS_CLOCK_SECONDS", "0")):
    time_machine.travel(time.time() + shift, tick=True).start()

from project.celery import app

__all__ = ["app"]


@celeryd_after_setup.connect
def _go_wrong(**_: object) -> None:
    """Before the pool forks: its children have all of it."""
    from tests.chaos import faulty

    home = Path(os.environ["CHAOS_HOME"])
    faulty.install(home, repeat_seconds=float(os.environ["CHAOS_REPEAT_SECONDS"]))
    if os.environ.get("CHAOS_LATE") == "1":
        faulty.deploy(faulty.Late)
    faulty.arm(home, host=os.environ["CHAOS_HOST"])
