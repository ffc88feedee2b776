"""Alerts: start the workspace's alert workflow for each new dead letter."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from uuid import UUID

import orjson

from actions.base import Json
from actions.moments import iso
from runs.control import concurrency, starts
from runs.domain.requests import Request
from runs.queries import dead_letters
from runs.queries.database import Row, run
from runs.queries.dead_letters import DUE_ALERTS
from workflows.definitions.errors import InvalidInput
from workflows.models import Workflow
from workflows.workspaces import permissions
from workflows.workspaces.permissions import Right

log = logging.getLogger(__name__)

WAY = permissions.way("engine: start an alert workflow", Right.START)
BATCH = 100


def send() -> int:
    """Start the alert workflow for dead letters that have no alert yet; return how many of them there were.

    The dead letter's id is the idempotency key: if a sweep dies after the start, or two sweeps run at the same time,
    each alert is still started once.
    """
    groups: dict[UUID, list[Row]] = {}
    found = run(DUE_ALERTS, limit=BATCH)
    # A workspace without an alert workflow gets no alert; its dead letters are only marked as done.
    for row in (row for row in found if row[1] is not None):
        groups.setdefault(row[1], []).append(row)
    for workflow_id, rows in groups.items():
        _start(workflow_id, rows)
    alerted([row[0] for row in found])
    return len(found)


def _start(workflow_id: UUID, rows: list[Row]) -> None:
    workflow = Workflow.objects.select_related("current").get(pk=workflow_id)
    version = workflow.current
    if version is None:
        log.error("alert_refused", extra={"workflow": workflow.name, "error": "it was never published"})
        return
    requests = []
    for row in rows:
        request = Request(input=_input(row), idempotency_key=f"dead-letter:{row[0]}")
        try:
            [checked] = starts.check([request], version=version)
            concurrency.check_key(version, checked.input)
        except InvalidInput as error:
            details = {"workflow": workflow.name, "dead_letter": str(row[0]), "error": str(error)[:500]}
            log.error("alert_refused", extra=details)  # noqa: TRY400 - the message has all that a traceback could add
        else:
            requests.append(request)
    if requests:
        permissions.require(permissions.SERVER, WAY, workspace=workflow.workspace_id)
        starts.start(requests, version=version, workflow=workflow, source="alert")


def _input(row: Row) -> dict[str, Json]:
    dead_letter, _, workflow, run_id, labels, step, item, reason, error, at = row
    return {
        "dead_letter": str(dead_letter),
        "workflow": workflow,
        "run": str(run_id),
        "labels": orjson.loads(labels),
        "step": step,
        "item": item if item >= 0 else None,
        "reason": reason,
        "error": orjson.loads(error),
        "at": iso(at),
    }


def alerted(letters: Sequence[UUID]) -> None:
    """Record that the alert workflow was started for these dead letters."""
    run(dead_letters.ALERTED, letters=list(letters))
