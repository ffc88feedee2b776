"""What a waiting step waits for, in a form for people."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from actions.catalogue.approval import SIGNAL
from runs.control import approval_links, approvals
from runs.control.approval_links import Link
from runs.domain.states import StepState
from runs.models import StepRun


@dataclass(frozen=True)
class WaitView:
    """What a step waits for. `kind` is one of:

    - moment: a time;
    - signal: a signal named `signal`, also by `key`;
    - approval: a person's decision;
    - run: the end of its sub-workflow's run;
    - items: the end of the items of its for_each;
    - code: a worker that has its action, as none has it now.

    `row` is the id of the step's row. `until` is the time at which the wait ends at the latest, None if it has no such
    time. `approve_url` is a path on this site, without the host.
    """

    row: int
    kind: str
    since: datetime | None
    until: datetime | None
    signal: str | None = None
    key: str | None = None
    message: str | None = None
    approvers: list[str] = field(default_factory=list)
    approve_url: str | None = None


def of(row: StepRun, *, version_id: UUID) -> WaitView | None:
    """Return what the row waits for; None if it does not wait."""
    if row.state != StepState.WAITING:
        return None
    if row.error is not None:
        return WaitView(row.pk, "code", row.started_at, None)
    if row.open_items is not None:
        return WaitView(row.pk, "items", row.started_at, row.wake_at)
    if row.awaits is not None:
        return WaitView(row.pk, "run", row.started_at, None)
    if row.signal is None:
        return WaitView(row.pk, "moment", row.started_at, row.wake_at)
    if row.signal != SIGNAL:
        return WaitView(row.pk, "signal", row.started_at, row.wake_at, signal=row.signal, key=row.signal_key)
    asked = approvals.question(version_id, row.step, row.config)
    return WaitView(
        row.pk,
        "approval",
        row.started_at,
        row.wake_at,
        message=asked.message if asked else "",
        approvers=asked.approvers if asked else [],
        approve_url=approval_links.path(Link((row.run_id, row.step, row.item), row.attempt)),
    )
