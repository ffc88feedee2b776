"""The project's Celery app in a process into which faults can be injected: `celery -A tests.chaos.app worker`.

Environment: CHAOS_HOME is the tests' directory (tests.chaos.faulty). CHAOS_CLOCK_SECONDS shifts this process's clocks.
CHAOS_HOST is the host name that the process reports. CHAOS_REPEAT_SECONDS is the time after which an unanswered knock
is sent again. With CHAOS_LATE=1 the process has the action `chaos_late`.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import time_machine
from celery.signals import celeryd_after_setup

# Before all other imports, so that modules which read the clock when they are imported are affected as well.
if shift := int(os.environ.get("CHAOS_CLOCK_SECONDS", "0")):
    time_machine.travel(time.time() + shift, tick=True).start()

from project.celery import app

__all__ = ["app"]


@celeryd_after_setup.connect
def _go_wrong(**_: object) -> None:
    """Install the faults before the pool forks, so that the children have them."""
    from tests.chaos import faulty

    home = Path(os.environ["CHAOS_HOME"])
    faulty.install(home, repeat_seconds=float(os.environ["CHAOS_REPEAT_SECONDS"]))
    if os.environ.get("CHAOS_LATE") == "1":
        faulty.deploy(faulty.Late)
    faulty.arm(home, host=os.environ["CHAOS_HOST"])
