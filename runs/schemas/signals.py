"""The answers of the API about signals and about steps that wait for approval."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from runs.models import Signal
from runs.schemas.base import Shape


class SignalShape(Shape):
    """A signal. `step` is the one that it woke; until there is one, it is kept. `run` is null while kept for a key."""

    id: UUID
    name: str
    key: str | None
    run: UUID | None
    step: str | None
    sent_at: datetime
    used_at: datetime | None
    expires_at: datetime | None


class SentByKey(Shape):
    """What became of a signal by key: one for each run that it woke, or the one that is kept."""

    signals: list[SignalShape]


def signal(row: Signal) -> SignalShape:
    """A signal without its payload."""
    return SignalShape(
        id=row.pk,
        name=row.name,
        key=row.key,
        run=row.run_id,
        step=row.step,
        sent_at=row.sent_at,
        used_at=row.used_at,
        expires_at=row.expires_at if row.used_at is None else None,
    )
