"""The JSON of approvals in responses."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from runs.control import approval_links, approvals
from runs.domain.states import RunState
from runs.models import StepRun
from runs.schemas.base import Shape


class ApprovalShape(Shape):
    """A step that waits for approval. `until` is null if it waits for ever.

    `approvers` is empty if everybody who may change runs may decide.
    """

    run: UUID
    step: str
    item: int
    workflow: str
    message: str
    approvers: list[str]
    since: datetime | None
    until: datetime | None
    approve_url: str | None


class Decided(Shape):
    """The response to a decision, with the state of the run after it."""

    run: UUID
    step: str
    approved: bool
    state: RunState


def approval(row: StepRun, *, site: Callable[[str], str] | None) -> ApprovalShape:
    """Return a step that waits for approval; its run's workflow should be loaded.

    `site` makes a path a full URL; None leaves out the link, for callers who may not decide.
    """
    asked = approvals.asked(row)
    link = approval_links.path(approval_links.Link((row.run_id, row.step, row.item), row.attempt))
    return ApprovalShape(
        run=row.run_id,
        step=row.step,
        item=row.item,
        workflow=row.run.workflow.name,
        message=asked.message if asked else "",
        approvers=asked.approvers if asked else [],
        since=row.started_at,
        until=row.wake_at,
        approve_url=site(link) if site else None,
    )
