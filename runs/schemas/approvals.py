"""Approvals as the API shows them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from runs.control import approval_links, approvals
from runs.domain.states import RunState
from runs.models import StepRun
from runs.schemas.base import Shape


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
