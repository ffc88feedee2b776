"""Admission: the one place where a queued run begins, in fair turn between workspaces and under their limits."""

from __future__ import annotations

from types import SimpleNamespace

from django.db import transaction

from runs import gate_queries
from runs.database import Row, run
from runs.release import REPEAT_SECONDS
from runs.requests import Due

# Gates looked at in one round; where more of them have a backlog, this process's next round goes on behind these.
LOOK = 500
_round = SimpleNamespace(after=0)


def admit(*, limit: int) -> list[Due]:
    """Take up to `limit` queued runs into `running`, in fair turn between workspaces, and write their first tickets.

    As many again may come through gates or into workspaces with limits, so that neither kind waits for the other.
    The tickets count as sent: the caller sends them, or calls transitions.unsend.
    """
    if limit <= 0:
        return []
    found = run(gate_queries.ADMIT, limit=limit, repeat=REPEAT_SECONDS)
    if found and found[-1][0] is None:
        found = [*found[:-1], *_under_limits(limit)]
    return [Due(*row) for row in found]


def _under_limits(limit: int) -> list[Row]:
    """Lock what limits, then count, then admit: each by a statement of its own."""
    with transaction.atomic():
        workspaces = [row[0] for row in run(gate_queries.LOCK_LIMITED)]
        [(gates, last, more)] = run(gate_queries.LOCK_OPEN_GATES, after=_round.after, look=LOOK)
        _round.after = last if more else 0
        if not workspaces and not gates:
            return []
        return run(gate_queries.GATED, workspaces=workspaces, gates=gates, limit=limit, repeat=REPEAT_SECONDS)
