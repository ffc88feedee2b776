"""Send knocks. The only sender: it fills the broker's window from the backlog in PostgreSQL."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from itertools import islice
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError
from kombu.exceptions import OperationalError as BrokerError

from runs import plan as plans
from runs import transitions, window
from runs.compiler import compile_chain
from runs.transitions import Due

log = logging.getLogger(__name__)


def dispatch() -> int:
    """Admit queued runs and pick due tickets while the window has room; answers how many messages were sent.

    A failed send leaves the tickets due, and the next dispatch or sweep sends them again.
    """
    room = window.room()
    if room == 0:
        return 0
    limit = room * settings.PURE_BATCH_RUNS
    due = transitions.admit(limit=limit)
    due += transitions.pick(limit=max(0, limit - len(due)))
    messages = list(_messages(due))
    unsent = [ticket for message in messages[room:] for ticket in message]
    sent = 0
    for message in messages[:room]:
        if _send(message):
            sent += 1
        else:
            unsent += message
    transitions.unsend([ticket.ticket for ticket in unsent])
    return sent


def after_commit() -> None:
    """Dispatch on behalf of a door, which never fails because the broker or a plan does."""
    try:
        dispatch()
    except (DatabaseError, BrokerError):
        log.exception("dispatch_failed")


def _messages(due: Sequence[Due]) -> Iterator[list[Due]]:
    """One message for each (version, head), cut where it would carry too many; a suspect travels alone."""
    groups: dict[tuple[UUID, str, int | None], list[Due]] = {}
    for ticket in due:
        alone = ticket.ticket if ticket.suspect else None
        groups.setdefault((ticket.version_id, ticket.head, alone), []).append(ticket)
    for (version_id, head, _), tickets in groups.items():
        inline = plans.load(version_id).link(head).head.inline
        size = settings.PURE_BATCH_RUNS if inline else settings.EFFECTFUL_BATCH_RUNS
        rest = iter(tickets)
        while batch := list(islice(rest, size)):
            yield batch


def _send(message: Sequence[Due]) -> bool:
    first = message[0]
    keys = [(ticket.run_id, ticket.item) for ticket in message]
    signature = compile_chain(keys, plan=plans.load(first.version_id), head=first.head)
    try:
        signature.apply_async()
    except (BrokerError, OSError) as error:
        log.warning("knock_unsent", extra={"head": first.head, "count": len(message), "error": str(error)})
        return False
    return True
