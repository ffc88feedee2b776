"""The answers of the API about signals and about steps that wait for approval."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from runs.control import approval_links, approvals
from runs.domain.states import RunState
from runs.models import Signal, StepRun
from runs.schemas.runs import Shape


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


class ApprovalShape(Shape):
    """A step that waits for approval; `until` is null where it waits for ever, `approvers` empty where all may."""

    run: UUID
    step: str
    item: int
    workflow: str
    message: str
    approvers: list[str]
    since: datetime | None
    until: datetime | None
    approve_url: str


class Decided(Shape):
    """How the run stands after the decision."""

    run: UUID
    step: str
    approved: bool
    state: RunState


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


def approval(row: StepRun, *, site: Callable[[str], str]) -> ApprovalShape:
    """A row that waits for approval, its run's workflow loaded; `site` makes an address of a path."""
    asked = approvals.asked(row)
    return ApprovalShape(
        run=row.run_id,
        step=row.step,
        item=row.item,
        workflow=row.run.workflow.name,
        message=asked.message if asked else "",
        approvers=asked.approvers if asked else [],
        since=row.started_at,
        until=row.wake_at,
        approve_url=site(approval_links.path(approval_links.Link((row.run_id, row.step, row.item), row.attempt))),
    )
