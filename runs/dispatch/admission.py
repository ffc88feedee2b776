"""Admission: the one place where a queued run begins, in fair turn between workspaces and under their limits."""

from __future__ import annotations

from types import SimpleNamespace

from django.db import transaction

from runs.domain.releases import REPEAT_SECONDS
from runs.domain.requests import Due
from runs.queries import admission
from runs.queries.database import Row, run

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
    found = run(admission.ADMIT, limit=limit, repeat=REPEAT_SECONDS)
    if found and found[-1][0] is None:
        found = [*found[:-1], *_under_limits(limit)]
    return [Due(*row) for row in found]


def _under_limits(limit: int) -> list[Row]:
    """Lock what limits, then count, then admit: each by a statement of its own."""
    with transaction.atomic():
        workspaces = [row[0] for row in run(admission.LOCK_LIMITED)]
        [(gates, last, more)] = run(admission.LOCK_OPEN_GATES, after=_round.after, look=LOOK)
        _round.after = last if more else 0
        if not workspaces and not gates:
            return []
        return run(admission.GATED, workspaces=workspaces, gates=gates, limit=limit, repeat=REPEAT_SECONDS)
