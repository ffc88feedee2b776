"""Tickets: look at due ones, pick them for sending, load or claim their steps, hand them back."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from runs.domain.outcomes import Key
from runs.domain.releases import REPEAT_SECONDS
from runs.domain.requests import Due
from runs.queries import claims, values
from runs.queries import tickets as ticket_queries
from runs.queries import waits as wait_queries
from runs.queries.database import Row, run


def peek(*, limit: int) -> tuple[list[Due], bool]:
    """Return up to `limit` tickets for which a message is due, the longest due first, and whether runs are queued.

    Only reads.
    """
    found = run(ticket_queries.PEEK, limit=limit)
    queued = bool(found) and found[-1][0] is None
    return [Due(*row) for row in (found[:-1] if queued else found)], queued


def pick(tickets: Sequence[int]) -> frozenset[int]:
    """Take due tickets for sending; from now on they count as sent. Return those that this call won."""
    if not tickets:
        return frozenset()
    return frozenset(row[0] for row in run(ticket_queries.PICK, tickets=list(tickets), repeat=REPEAT_SECONDS))


def unsend(tickets: Sequence[int]) -> None:
    """Make tickets due again that were picked but not sent."""
    if tickets:
        run(ticket_queries.UNSEND, tickets=list(tickets))


def hand_back(keys: Sequence[Key], *, head: str) -> None:
    """Make the tickets of candidates that this delivery did not claim due at once."""
    if keys:
        run(claims.HAND_BACK, head=head, **values.keys(keys))


def load(keys: Sequence[Key], *, head: str, reads: Sequence[str]) -> list[Row]:
    """Read tickets at an inline head together with what the link needs, in one snapshot (queries.claims.LOAD)."""
    return run(claims.LOAD, head=head, reads=list(reads), **values.keys(keys))


def claim(keys: Sequence[Key], *, head: str, reads: Sequence[str], process: UUID, timeout_seconds: float) -> list[Row]:
    """Turn tickets at an effectful head into running rows under the process's lease (queries.claims.CLAIM)."""
    given = {"head": head, "reads": list(reads), "process": process, "timeout": timeout_seconds}
    return run(claims.CLAIM, **given, **values.keys(keys))


def unblock(steps: Sequence[tuple[UUID, int, str]]) -> frozenset[Key]:
    """Give a ticket to steps (run, item, step) that waited for the code of their action. Return those that were won."""
    if not steps:
        return frozenset()
    return frozenset((row[0], row[1]) for row in run(wait_queries.UNBLOCK, **values.step_keys(steps)))


def keep_blocked(steps: Sequence[tuple[UUID, int, str]], *, seconds: float) -> None:
    """Let steps (run, item, step) whose action is still not known wait for another `seconds`."""
    run(wait_queries.STILL_BLOCKED, seconds=seconds, **values.step_keys(steps))
