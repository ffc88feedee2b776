"""Work without a broker: take tickets directly from PostgreSQL, and perform their chains in this process."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence

from django.db import DatabaseError, InterfaceError, connection

from runs.dispatch import dispatcher
from runs.dispatch.grouping import spread_over
from runs.domain.requests import Due
from runs.engine import recorder as recorders
from runs.engine import tickets
from runs.maintenance import suspects, sweep
from runs.maintenance.sweep import INTERVAL_SECONDS, TICK_SECONDS
from runs.planning import plan as plans
from runs.worker import delivery, other_actions

log = logging.getLogger(__name__)

# Messages taken in one round: few, so that other processes find work too and this one stops soon when asked to.
MESSAGES = 2
# How long the end waits for steps that are under way.
DRAIN_SECONDS = 20.0


def poll() -> int:
    """Take tickets that are due and perform them; return how many messages they would have been."""
    messages = dispatcher.take(MESSAGES, spread=spread_over())
    for number, message in enumerate(messages):
        try:
            walk(message)
        except (DatabaseError, InterfaceError):
            tickets.unsend([ticket.ticket for rest in messages[number:] for ticket in rest])
            raise
    return len(messages)


def walk(message: Sequence[Due]) -> None:
    """Advance the runs of one message as far as a delivery of it would."""
    plan = plans.load(message[0].version_id)
    delivery.perform([one.candidate for one in message], plan=plan)


def work(stopping: threading.Event) -> None:
    """Sweep and poll until `stopping` is set, then record what is under way.

    A round that fails is logged, and the next one tries again.
    """
    other_actions.log_faults()
    pause = 0.0
    while not stopping.wait(pause):
        try:
            swept = sweep.sweep(send=poll, alone=_alone)
            coming = INTERVAL_SECONDS if swept.next_seconds is None else swept.next_seconds + TICK_SECONDS
            pause = 0.0 if swept.sent else min(INTERVAL_SECONDS, coming)
        except (DatabaseError, InterfaceError) as error:
            log.warning("poll_failed", extra={"error": str(error)})
            connection.close()
            pause = INTERVAL_SECONDS
    if (recorder := recorders.existing()) is not None:
        recorder.drain(until=time.monotonic() + DRAIN_SECONDS)


def _alone() -> int:
    """Perform suspects, unless steps that were left behind are under way in this process."""
    recorder = recorders.existing()
    return suspects.perform_due() if recorder is None or recorder.idle else 0
