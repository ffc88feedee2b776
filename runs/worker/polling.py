"""Work without a broker: take tickets directly from PostgreSQL, and perform their chains in this process."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from django.db import DatabaseError, InterfaceError, connection

from runs.dispatch import dispatcher
from runs.dispatch.compiler import mixed
from runs.dispatch.grouping import spread_over
from runs.domain.candidates import Candidate
from runs.domain.requests import Due
from runs.engine import tickets
from runs.maintenance import sweep
from runs.maintenance.sweep import INTERVAL_SECONDS, TICK_SECONDS
from runs.planning import plan as plans
from runs.worker import delivery

log = logging.getLogger(__name__)

# Messages taken in one round: few, so that other processes find work too and this one stops soon when asked to.
MESSAGES = 2


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
    """Advance the runs of one message: from a single head, link by link to the end of its chain, while any is won."""
    plan = plans.load(message[0].version_id)
    candidates = [ticket.candidate for ticket in message]
    followers = () if mixed(candidates) else plan.chain(message[0].head)[1:]
    for follower in (*followers, None):
        won = delivery.work(candidates, plan=plan, carried=follower).handed_on
        if follower is None or not won:
            return
        candidates = [Candidate(*key, follower) for key in won]


def work(stopping: threading.Event) -> None:
    """Sweep and poll until `stopping` is set. A round that fails is logged, and the next one tries again."""
    pause = 0.0
    while not stopping.wait(pause):
        try:
            swept = sweep.sweep(send=poll)
            coming = INTERVAL_SECONDS if swept.next_seconds is None else swept.next_seconds + TICK_SECONDS
            pause = 0.0 if swept.sent else min(INTERVAL_SECONDS, coming)
        except (DatabaseError, InterfaceError) as error:
            log.warning("poll_failed", extra={"error": str(error)})
            connection.close()
            pause = INTERVAL_SECONDS
