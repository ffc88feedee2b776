"""Give every workspace its turn while one has a long backlog: in what is picked, and in the broker's queue.

What is known here is known to one process. A worker child knows how it spent its time; other processes do not, and put
no message before others.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from types import SimpleNamespace
from uuid import UUID

from runs.domain.requests import Due
from runs.engine import tickets
from runs.planning import plan as plans

# Workspaces that one look takes into account; the next one goes on behind them.
_WORKSPACES = 100
# Of each, this many runs are looked at, the newest first: the oldest tickets are seen by every look.
_RUNS = 200
_NOBODY = UUID(int=0)
# After a look that found runs of one workspace only, no other is made for this time.
_ALONE_SECONDS = 0.1
_look = SimpleNamespace(after=_NOBODY, not_before=0.0)
# Time spent counts half after this time.
_HALF_LIFE_SECONDS = 2.0


class _Spent:
    """The seconds that this process has lately spent on deliveries, by workspace."""

    def __init__(self) -> None:
        self.seconds: dict[UUID | None, float] = {}
        self.at = time.monotonic()
        self.lock = threading.Lock()


_spent = _Spent()


def _forget() -> None:
    global _spent  # noqa: PLW0603 - what the parent knew is not about this process
    _spent = _Spent()


os.register_at_fork(after_in_child=_forget)


def spend(workspace: UUID | None, seconds: float) -> None:
    """Note that a delivery for this workspace took so long."""
    with _spent.lock:
        now = time.monotonic()
        factor = 0.5 ** ((now - _spent.at) / _HALF_LIFE_SECONDS)
        kept = {one: found * factor for one, found in _spent.seconds.items() if found * factor > 0.001}
        kept[workspace] = kept.get(workspace, 0.0) + seconds
        _spent.seconds, _spent.at = kept, now


def goes_first(workspace: UUID | None) -> bool:
    """Whether messages of this workspace go before others: it had less than half of its share of this process's time.

    False where others had no time either.
    """
    with _spent.lock:
        mine = _spent.seconds.get(workspace, 0.0)
        others = [found for one, found in _spent.seconds.items() if one != workspace]
        return bool(others) and mine < (mine + sum(others)) / (len(others) + 1) / 2


def in_turn(due: Sequence[Due], *, seen_all: bool) -> list[Due]:
    """Return due tickets with those of workspaces that have fewer first; those of the one that has most stay in order.

    Unless `due` are all tickets that are due, other workspaces are looked for behind these.
    """
    found = _of_workspaces(due) if seen_all else _looked_for(limit=len(due))
    if len(found) < 2:
        return list(due)
    oldest = found if seen_all else _of_workspaces(due)
    *fewer, _ = sorted(found, key=lambda workspace: (len(found[workspace]), len(oldest.get(workspace, ()))))
    first = [ticket for workspace in fewer for ticket in found[workspace]]
    seen = {ticket.ticket for ticket in first}
    return [*first, *(ticket for ticket in due if ticket.ticket not in seen)]


def _of_workspaces(due: Sequence[Due]) -> dict[UUID | None, list[Due]]:
    versions: dict[UUID, UUID | None] = {}
    found: dict[UUID | None, list[Due]] = {}
    for ticket in due:
        if ticket.version_id not in versions:
            versions[ticket.version_id] = _workspace_of(ticket.version_id)
        found.setdefault(versions[ticket.version_id], []).append(ticket)
    return found


def _workspace_of(version_id: UUID) -> UUID | None:
    try:
        return plans.load(version_id).workspace_id
    except Exception:
        return None  # a version that this code cannot read; runs.dispatch.grouping logs it


def _looked_for(*, limit: int) -> dict[UUID | None, list[Due]]:
    """Return due tickets of workspaces that have live runs, as many as a look takes into account."""
    now = time.monotonic()
    if now < _look.not_before:
        return {}
    found: dict[UUID | None, list[Due]] = {}
    after = _look.after
    for workspace, ticket in tickets.peek_shares(limit=limit, after=after, workspaces=_WORKSPACES, runs=_RUNS):
        found.setdefault(workspace, []).append(ticket)
        after = max(after, workspace)
    _look.after = after if len(found) >= _WORKSPACES else _NOBODY
    if len(found) < 2:
        _look.not_before = now + _ALONE_SECONDS
    return found
