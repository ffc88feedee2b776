"""Tickets: look at due ones, pick them for sending, load or claim their steps, hand them back."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import orjson

from runs.domain.candidates import Candidate, Key
from runs.domain.releases import REPEAT_SECONDS
from runs.domain.requests import Due
from runs.queries import claims, for_each, values
from runs.queries import tickets as ticket_queries
from runs.queries import waits as wait_queries
from runs.queries.database import Row, columns, run

# The longest delay of candidates that are handed back because no place is free.
_MOST_HAND_BACK_SECONDS = 1.0


def peek(*, limit: int) -> tuple[list[Due], bool]:
    """Return up to `limit` tickets for which a message is due, the longest due first, and whether runs are queued.

    Only reads.
    """
    found = run(ticket_queries.PEEK, limit=limit)
    queued = bool(found) and found[-1][0] is None
    return [Due(*row) for row in (found[:-1] if queued else found)], queued


def peek_shares(*, limit: int, after: UUID, workspaces: int, runs: int) -> list[tuple[UUID, Due]]:
    """Return due tickets with their workspaces, an equal share of `limit` for each (queries.tickets.PEEK_SHARES).

    Up to `workspaces` of them are looked at, with ids above `after`, and `runs` runs of each. Empty if only one of them
    has live runs. Only reads.
    """
    found = run(ticket_queries.PEEK_SHARES, limit=limit, after=after, workspaces=workspaces, runs=runs)
    return [(row[0], Due(*row[1:])) for row in found]


def pick(tickets: Sequence[int]) -> frozenset[int]:
    """Take due tickets for sending; from now on they count as sent. Return those that this call won."""
    if not tickets:
        return frozenset()
    return frozenset(row[0] for row in run(ticket_queries.PICK, tickets=list(tickets), repeat=REPEAT_SECONDS))


def unsend(tickets: Sequence[int]) -> None:
    """Make tickets due again that were picked but not sent."""
    if tickets:
        run(ticket_queries.UNSEND, tickets=list(tickets))


def hand_back(candidates: Sequence[Candidate], *, least_seconds: float = 0.0) -> None:
    """Make the tickets of candidates that this delivery did not claim due again.

    That is after `least_seconds` or, with a delay, after half of the time for which a ticket has been due; at most
    after _MOST_HAND_BACK_SECONDS.
    """
    if candidates:
        most = _MOST_HAND_BACK_SECONDS if least_seconds else 0.0
        run(claims.HAND_BACK, least=least_seconds, most=most, **_columns(candidates))


def load(keys: Sequence[Key], *, head: str, reads: Sequence[str]) -> list[Row]:
    """Read tickets at an inline head together with what the link needs, in one snapshot (queries.claims.LOAD)."""
    return run(claims.LOAD, head=head, reads=list(reads), **values.keys(keys))


def load_at_heads(candidates: Sequence[Candidate], *, reads: dict[str, list[str]]) -> list[Row]:
    """The same for candidates at several heads (queries.claims.LOAD_AT_HEADS). `reads` are steps by head."""
    return run(claims.LOAD_AT_HEADS, reads=orjson.dumps(reads).decode(), **_columns(candidates))


def claim(
    candidates: Sequence[Candidate],
    *,
    reads: dict[str, list[str]],
    timeouts: dict[str, float],
    process: UUID,
    suspect: bool = False,
) -> list[Row]:
    """Turn tickets at effectful heads into running rows under the process's lease (queries.claims.CLAIM).

    `reads` and `timeouts` are the steps to read and the seconds until the deadline, by head. Either all candidates are
    items of for_each steps or none is. Suspect tickets are claimed with `suspect` only, and others without it only.
    """
    if len(candidates) == 1 and candidates[0].item < 0:
        [(run_id, _, head)] = candidates
        one = {"run": run_id, "head": head, "reads": list(reads.get(head, ())), "timeout": timeouts[head]}
        return run(claims.CLAIM_ONE, process=process, suspect=suspect, **one)
    statement = for_each.CLAIM_ITEMS if candidates and candidates[0].item >= 0 else claims.CLAIM
    given = {"reads": orjson.dumps(reads).decode(), "timeouts": orjson.dumps(timeouts).decode()}
    return run(statement, process=process, suspect=suspect, **given, **_columns(candidates))


def _columns(candidates: Sequence[Candidate]) -> dict[str, list[object]]:
    names = ("runs", "items", "heads")
    return dict(zip(names, columns(candidates, len(names)), strict=True))


def unblock(steps: Sequence[tuple[UUID, int, str]]) -> frozenset[Key]:
    """Give a ticket to steps (run, item, step) that waited for the code of their action. Return those that were won."""
    if not steps:
        return frozenset()
    return frozenset((row[0], row[1]) for row in run(wait_queries.UNBLOCK, **values.step_keys(steps)))


def keep_blocked(steps: Sequence[tuple[UUID, int, str]], *, seconds: float) -> None:
    """Let steps (run, item, step) whose action is still not known wait for another `seconds`."""
    run(wait_queries.STILL_BLOCKED, seconds=seconds, **values.step_keys(steps))
