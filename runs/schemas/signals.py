"""The JSON of signals in responses."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from runs.models import Signal
from runs.schemas.base import Shape


class SignalShape(Shape):
    """A signal. `step` is the step whose wait it ended; while that is null, the signal is kept for a later step.

    `run` is null while a signal that was sent by key is kept.
    """

    id: UUID
    name: str
    key: str | None
    run: UUID | None
    step: str | None
    sent_at: datetime
    used_at: datetime | None
    expires_at: datetime | None


class SentByKey(Shape):
    """The response to a signal by key: one signal for each run whose wait it ended, or one kept for a later step."""

    signals: list[SignalShape]


def signal(row: Signal) -> SignalShape:
    """Return a signal's fields, without its payload."""
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
