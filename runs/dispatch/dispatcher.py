"""Send knocks. The only sender: it fills the broker's window from the backlog in PostgreSQL."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from itertools import islice
from types import SimpleNamespace
from uuid import UUID

from django.conf import settings

from runs.dispatch import admission, knocks, unsent, window
from runs.dispatch.compiler import MAX_KEYS
from runs.domain.requests import Due, Started
from runs.engine import preload, tickets
from runs.planning import plan as plans
from runs.planning.plan import Plan

log = logging.getLogger(__name__)

# Tickets of one message, the last time that this process looked: a fan-out has thousands that are due and each goes
# alone, so that it would read hundreds for each message; many runs of one path go by the hundred.
_FEW = 8
_last = SimpleNamespace(tickets=_FEW)


def dispatch(*, least: int = 1) -> int:
    """Admit queued runs and pick due tickets while the window has room; answers how many messages were sent.

    Where it has room for fewer messages than `least`, nothing is done. A failed send leaves the tickets due, and the
    next dispatch or sweep sends them again.
    """
    room = window.room()
    if room < least:
        return 0
    with unsent.noted():
        messages = take(room)
        sent = _send(messages[:room])
        if sent < len(messages):
            tickets.unsend([ticket.ticket for message in messages[sent:] for ticket in message])
    return sent


def take(room: int) -> list[list[Due]]:
    """What is due, grouped into messages, taken from the line; more than `room` where one admission fills several.

    What is under way goes before what is new; a surplus that is admitted now stands in that line next time.
    """
    messages, queued = _due(room)
    if not queued or len(messages) >= room:
        return messages
    try:
        return messages + list(_messages(admission.admit(limit=(room - len(messages)) * settings.PURE_BATCH_RUNS)))
    except Exception:
        if not messages:
            raise
        # What is picked is to be sent all the same: it counts as sent already.
        log.exception("admission_failed")
        return messages


def _due(room: int) -> tuple[list[list[Due]], bool]:
    """At most `room` messages of tickets that are due, picked, and whether runs are queued."""
    due, messages, queued = _peek(room)
    # Tickets that no message could be made of are picked all the same, so that they move out of the others' way.
    later = {ticket.ticket for message in messages[room:] for ticket in message}
    won = tickets.pick([ticket.ticket for ticket in due if ticket.ticket not in later])
    kept = [[ticket for ticket in message if ticket.ticket in won] for message in messages[:room]]
    return [message for message in kept if message], queued


def _peek(room: int) -> tuple[list[Due], list[list[Due]], bool]:
    """Tickets that are due, enough of them for `room` messages; the messages they make; whether runs are queued."""
    few, all_of = room * min(settings.PURE_BATCH_RUNS, 2 * _last.tickets), room * settings.PURE_BATCH_RUNS
    due, queued = tickets.peek(limit=few)
    messages = list(_messages(due))
    if len(due) == few < all_of and len(messages) < 2 * room:
        # More of them go together than the last time: look at all that a message may carry.
        due, queued = tickets.peek(limit=all_of)
        messages = list(_messages(due))
    if messages:
        _last.tickets = max(_FEW, -(-len(due) // len(messages)))
    return due, messages, queued


def fits(count: int, *, version_id: UUID) -> bool:
    """Whether the window has room for so many new runs of this version, which then is theirs.

    False for a version that this code cannot read.
    """
    try:
        plan = plans.load(version_id)
    except Exception:
        return False
    messages = sum(-(-count // _size(plan, root)) for root in plan.definition.roots())
    return window.reserve(messages)


def after_start(answers: Sequence[Started | Exception]) -> None:
    """Send for the runs that began with their start, whose transaction is committed; else dispatch.

    Runs that are queued behind others of their workspace are left to who takes those: a delivery that is still to come
    or, where there is none, the next round of the sweep.
    """
    started = [one for one in answers if isinstance(one, Started)]
    due = [ticket for one in started for ticket in one.due]
    if due:
        _send_first(due)
    elif any(map(_is_next, started)) and not window.crowded():
        after_commit(least=window.open_from())


def _is_next(started: Started) -> bool:
    """Whether it is a new run with no other of its workspace queued before it."""
    return started.created and not started.behind


def _send_first(due: Sequence[Due]) -> None:
    """Send for the first tickets of runs; a failure leaves them due."""
    try:
        if not _send(list(_messages(due))):
            tickets.unsend([ticket.ticket for ticket in due])
    except Exception:
        log.exception("dispatch_failed")


def refill() -> None:
    """Dispatch on behalf of a delivery, once half of the window is free: until then there are other deliveries to come.

    Whatever fails here is left to the sweep.
    """
    after_commit(least=max(1, settings.DISPATCH_WINDOW_MESSAGES // 2))


def after_commit(*, least: int = 1) -> None:
    """Dispatch on behalf of a door, whose work is committed already: whatever fails here is left to the sweep."""
    try:
        dispatch(least=least)
    except Exception:
        log.exception("dispatch_failed")


def _messages(due: Sequence[Due]) -> Iterator[list[Due]]:
    """One message for each (version, head), cut where it would carry too many; a suspect travels alone."""
    groups: dict[tuple[UUID, str, int | None, bool], list[Due]] = {}
    for ticket in due:
        alone = ticket.ticket if ticket.suspect else None
        groups.setdefault((ticket.version_id, ticket.head, alone, ticket.item >= 0), []).append(ticket)
    for (version_id, head, *_), group in groups.items():
        try:
            size = _size(plans.load(version_id), head)
        except Exception:
            # One version that this code cannot read holds back no other. Its tickets are knocked for again, ever
            # more rarely, until code that can read it is deployed.
            log.exception("version_unusable", extra={"version_id": str(version_id), "head": head})
            continue
        rest = iter(group)
        while batch := list(islice(rest, size)):
            yield batch


def _size(plan: Plan, head: str) -> int:
    """Runs in one message."""
    inline = plan.link(head).head.inline
    return min(MAX_KEYS, settings.PURE_BATCH_RUNS if inline else settings.EFFECTFUL_BATCH_RUNS)


def _send(messages: Sequence[Sequence[Due]]) -> int:
    """How many were sent: all or none."""
    try:
        knocks.send([_knock(message) for message in messages])
    except Exception as error:
        # Mostly the broker, in many words; whatever it is, the tickets picked with these messages must go back.
        count = sum(len(message) for message in messages)
        log.warning("knock_unsent", extra={"messages": len(messages), "count": count, "error": repr(error)})
        return 0
    return len(messages)


def _knock(message: Sequence[Due]) -> knocks.Knock:
    first = message[0]
    plan = plans.load(first.version_id)
    told = preload.pack(message) if first.preloaded is not None and _computes(plan, first.head) else ""
    return knocks.Knock(plan, first.head, [(one.run_id, one.item) for one in message], told)


def _computes(plan: Plan, head: str) -> bool:
    """Whether the link does nothing but compute: not even wait, which asks for the time."""
    return all(step.action.pure and step.definition.for_each is None for step in plan.link(head).steps)
