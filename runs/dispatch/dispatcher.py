"""Send knocks: fill the broker's window from the backlog in PostgreSQL. Nothing else sends messages."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from types import SimpleNamespace
from uuid import UUID

from django.conf import settings

from runs.dispatch import admission, knocks, shares, unsent, window
from runs.dispatch.compiler import mixed
from runs.dispatch.grouping import FEW, grouped, needed, spread_over
from runs.domain.requests import Due, Started
from runs.engine import preload, tickets
from runs.planning import plan as plans
from runs.planning.plan import Plan

log = logging.getLogger(__name__)

# Tickets per message when this process last peeked. It decides how many tickets are read for a message: where each run
# has a version of its own, each ticket makes a message of its own, and reading hundreds for each would be a waste; of
# one version, hundreds share one message.
# `is_full`: due tickets alone fill the room; `turn`: whether the only room goes to queued runs.
_last = SimpleNamespace(tickets=FEW, is_full=False, turn=False)


def dispatch(*, least: int = 1) -> int:
    """Admit queued runs and pick due tickets while the window has room; return how many messages were sent.

    If it has room for fewer messages than `least`, nothing is done. After a failed send the tickets are due again, and
    the next dispatch or sweep sends them.
    """
    room = window.room()
    if room < least:
        return 0
    with unsent.noted():
        messages = take(room, spread=spread_over(waiting=settings.DISPATCH_WINDOW_MESSAGES - room))
        sent = _send(messages[:room], first=room < settings.DISPATCH_WINDOW_MESSAGES)
        if sent < len(messages):
            tickets.unsend([ticket.ticket for message in messages[sent:] for ticket in message])
    return sent


def take(room: int, *, spread: int) -> list[list[Due]]:
    """Pick due tickets, admit queued runs if room is left, and return their tickets grouped into messages.

    These may be more than `room`, if the admitted runs need several messages; `dispatch` unsends the surplus. Runs that
    have begun go before new ones, and so does the surplus the next time. `spread`: see runs.dispatch.grouping.grouped.
    """
    messages, queued = _due(room, spread=spread)
    if not queued:
        return messages
    try:
        return messages + _admitted(room - len(messages), spread=spread)
    except Exception:
        if not messages:
            raise
        # The tickets that were picked must be sent nevertheless: they count as sent already.
        log.exception("admission_failed")
        return messages


def _admitted(room: int, *, spread: int) -> list[list[Due]]:
    """Admit queued runs, as many as `room` messages can carry, and return these; those with few tickets first.

    If due tickets leave no room, or only what is kept for queued runs, few runs are admitted, in fair turn between
    workspaces: else a workspace with a long backlog of due tickets would keep the runs of all others queued.
    """
    if room <= 0:
        return []
    limit = room * settings.PURE_BATCH_RUNS if not _last.is_full else room * FEW
    return sorted(grouped(admission.admit(limit=limit), room=room, spread=spread), key=len)


def _due(room: int, *, spread: int) -> tuple[list[list[Due]], bool]:
    """Pick due tickets for at most `room` messages; return the messages, and whether runs are queued.

    If both are there, a quarter of the room, but at least one message, is left for queued runs; of a room for one
    message, every second time.
    """
    due, messages, queued = _peek(room, spread=spread)
    _last.is_full = len(messages) >= room
    if queued and _last.is_full:
        _last.turn = not _last.turn
        room -= max(1, room // 4) if room > 1 or _last.turn else 0
    # Tickets of a version that cannot be read make no message. They are picked nevertheless, so that they become due
    # later and do not stand before the others each time.
    later = {ticket.ticket for message in messages[room:] for ticket in message}
    won = tickets.pick([ticket.ticket for ticket in due if ticket.ticket not in later])
    kept = [[ticket for ticket in message if ticket.ticket in won] for message in messages[:room]]
    return [message for message in kept if message], queued


def _peek(room: int, *, spread: int) -> tuple[list[Due], list[list[Due]], bool]:
    """Return due tickets, enough for `room` messages; the messages that they make; and whether runs are queued."""
    few, all_of = room * min(settings.PURE_BATCH_RUNS, 2 * _last.tickets), room * settings.PURE_BATCH_RUNS
    due, queued = tickets.peek(limit=few)
    messages = grouped(due, room=room, spread=spread, more=len(due) == few)
    if len(due) == few < all_of and len(messages) < 2 * room:
        # More tickets share a message than the last time: read as many as full messages can carry.
        due, queued = tickets.peek(limit=all_of)
        messages = grouped(due, room=room, spread=spread, more=len(due) == all_of)
    if len(messages) > room or len(due) in (few, all_of):
        turns = shares.in_turn(due, seen_all=len(due) not in (few, all_of))
        if turns != due:
            due, messages = turns, grouped(turns, room=room, spread=spread, more=True)
    if messages:
        _last.tickets = max(FEW, -(-len(due) // len(messages)))
    return due, messages, queued


def fits(count: int, *, version_id: UUID) -> bool:
    """Whether the window has room for `count` new runs of this version; if so, that room is reserved for them.

    False for a version that this code cannot read.
    """
    try:
        plan = plans.load(version_id)
    except Exception:
        return False
    return window.reserve(needed(plan, runs=count))


def after_start(answers: Sequence[Started | Exception]) -> None:
    """Send messages for the runs that began with their start, which is committed. If none began, dispatch.

    Runs that are queued behind others of their workspace do not dispatch: the delivery that admits the others, or the
    next round of the sweep, admits them too.
    """
    started = [one for one in answers if isinstance(one, Started)]
    due = [ticket for one in started for ticket in one.due]
    if due:
        _send_first(due)
    elif any(map(_is_next, started)) and not window.crowded():
        after_commit(least=window.open_from())


def _is_next(started: Started) -> bool:
    """Whether this is a new run, and no other run of its workspace is queued before it."""
    return started.created and not started.behind


def _send_first(due: Sequence[Due]) -> None:
    """Send messages for the first tickets of new runs. If that fails, the tickets are due again."""
    try:
        if not _send(grouped(due, room=settings.DISPATCH_WINDOW_MESSAGES, spread=spread_over())):
            tickets.unsend([ticket.ticket for ticket in due])
    except Exception:
        log.exception("dispatch_failed")


def refill(*, at_once: bool = False) -> None:
    """Dispatch after a delivery, if at least half of the window is free; else later deliveries will do it.

    `at_once`: if any of it is free, because later deliveries may take long too. Whatever fails is left to the sweep.
    """
    after_commit(least=1 if at_once else max(1, settings.DISPATCH_WINDOW_MESSAGES // 2))


def after_commit(*, least: int = 1) -> None:
    """Dispatch after a caller's commit. Whatever fails here is left to the sweep, as the caller's work is done."""
    try:
        dispatch(least=least)
    except Exception:
        log.exception("dispatch_failed")


def _send(messages: Sequence[Sequence[Due]], *, first: bool = False) -> int:
    """Send the messages, all or none, and return how many were sent.

    With `first`, messages of workspaces that had little of this process's time go before those in the broker.
    """
    try:
        found = [_knock(message) for message in messages]
        before = [first and shares.goes_first(knock.plan.workspace_id) for knock in found]
        if ahead := [knock for knock, is_first in zip(found, before, strict=True) if is_first]:
            knocks.send(ahead, first=True)
        if rest := [knock for knock, is_first in zip(found, before, strict=True) if not is_first]:
            knocks.send(rest)
    except Exception as error:
        # Mostly an error of the broker, with a long text. Whatever it is, the caller must unsend these tickets.
        count = sum(len(message) for message in messages)
        log.warning("knock_unsent", extra={"messages": len(messages), "count": count, "error": repr(error)})
        return 0
    return len(messages)


def _knock(message: Sequence[Due]) -> knocks.Knock:
    first = message[0]
    plan = plans.load(first.version_id)
    candidates = [ticket.candidate for ticket in message]
    whole = first.preloaded is not None and not mixed(candidates) and _computes(plan, first.head)
    return knocks.Knock(plan, candidates, preload.pack(message) if whole else "")


def _computes(plan: Plan, head: str) -> bool:
    """Whether the link only computes. A wait does not: it needs the time."""
    return all(step.action.pure and step.definition.for_each is None for step in plan.link(head).steps)
