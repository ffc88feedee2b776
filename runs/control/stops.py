"""Cancel and terminate runs, and the sub-workflow runs below them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from django.db import DatabaseError, transaction

from runs.control import interventions, preconditions
from runs.dispatch import dispatcher
from runs.domain.actor import Actor
from runs.engine import stopping, sub_workflows

log = logging.getLogger(__name__)


def cancel(run_ids: Sequence[UUID], *, actor: Actor) -> frozenset[UUID]:
    """Stop runs whose work is not over, and return those that this call cancelled; a second cancel is a no-op.

    A running step is left to its worker: its outcome is recorded, but releases no other step. `finally` still runs.
    """
    won = cancel_only(run_ids, actor=actor)
    if won:
        transaction.on_commit(dispatcher.after_commit)  # send for the first steps of `finally`
        # In a transaction of its own: parents and their sub-workflow runs are never locked together. If it fails, the
        # sweep does it.
        transaction.on_commit(lambda: _cancel_sub_runs(actor))
    return won


def cancel_only(run_ids: Sequence[UUID], *, actor: Actor) -> frozenset[UUID]:
    """As cancel, but without sending messages or cancelling sub-workflow runs: the caller or the sweep does that."""
    with transaction.atomic():
        stopped = stopping.cancel(run_ids)
        interventions.write("cancel", {run_id: {} for run_id in stopped.won}, actor=actor)
    return stopped.won


def terminate(run_ids: Sequence[UUID], *, actor: Actor) -> frozenset[UUID]:
    """End runs at once, without compensation, on_failure or finally, and return those that this call ended."""
    with transaction.atomic():
        stopped = stopping.terminate(run_ids)
        interventions.write("terminate", {run_id: {} for run_id in stopped.won}, actor=actor)
    if stopped.won:
        transaction.on_commit(dispatcher.after_commit)  # other runs may begin in their place
        transaction.on_commit(lambda: _cancel_sub_runs(actor))
    return stopped.won


def cancel_sub_runs(*, actor: Actor, limit: int = preconditions.AT_ONCE) -> int:
    """Cancel the sub-workflow runs of cancelled steps, and those below them; one transaction for each level.

    Returns how many runs this call cancelled.
    """
    count = 0
    while found := sub_workflows.sub_runs_to_cancel(limit=limit):
        count += len(cancel_only([run_id for those in found.values() for run_id in those], actor=actor))
        sub_workflows.sub_runs_cancelled(list(found))
    return count


def _cancel_sub_runs(actor: Actor) -> None:
    try:
        cancel_sub_runs(actor=replace(actor, reason=actor.reason or sub_workflows.PARENT_STOPPED))
    except DatabaseError as error:
        log.warning("children_left_to_sweep", extra={"error": str(error)})
