"""Admission: start queued runs, in fair turn between workspaces and under their limits. Queued runs start only here."""

from __future__ import annotations

from types import SimpleNamespace

from django.db import transaction

from runs.domain.releases import REPEAT_SECONDS
from runs.domain.requests import Due
from runs.queries import admission
from runs.queries.database import Row, run

# Gates that one round looks at. If more gates have queued runs, the next round of this process goes on after these.
LOOK = 500
_round = SimpleNamespace(after=0)


def admit(*, limit: int) -> list[Due]:
    """Take up to `limit` queued runs into `running`, in fair turn between workspaces, and write their first tickets.

    Up to `limit` more are admitted through gates or in workspaces with limits, so that neither kind of run waits for
    the other. The tickets count as sent: the caller sends messages for them, or calls tickets.unsend.
    """
    if limit <= 0:
        return []
    found = run(admission.ADMIT, limit=limit, repeat=REPEAT_SECONDS)
    if found and found[-1][0] is None:
        found = [*found[:-1], *_under_limits(limit)]
    return [Due(*row) for row in found]


def _under_limits(limit: int) -> list[Row]:
    """Lock limited workspaces and gates, then count and admit by a later statement that sees the state under them."""
    with transaction.atomic():
        workspaces = [row[0] for row in run(admission.LOCK_LIMITED)]
        [(gates, last, more)] = run(admission.LOCK_OPEN_GATES, after=_round.after, look=LOOK)
        _round.after = last if more else 0
        if not workspaces and not gates:
            return []
        return run(admission.GATED, workspaces=workspaces, gates=gates, limit=limit, repeat=REPEAT_SECONDS)
