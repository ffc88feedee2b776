"""Perform transactional steps: the effect, in this database, and its record are one transaction, so exactly once."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from uuid import UUID

import orjson
from django.db import DatabaseError, Error, connection, transaction

from actions.base import Retryable
from runs.domain.outcomes import Recorded
from runs.domain.states import StepState
from runs.engine import attempt as performing
from runs.engine import failure, record, sub_workflows
from runs.engine.onward import Onward
from runs.engine.work import Work
from runs.planning.plan import Plan
from runs.planning.steps import PlannedStep
from runs.queries import effects
from runs.queries.database import passes, run

log = logging.getLogger(__name__)

_KEPT = (StepState.SUCCEEDED, StepState.WAITING, StepState.SKIPPED)


def perform(work: Sequence[Work], *, plan: Plan, step: PlannedStep, process: UUID, onward: Onward) -> Recorded:
    """Perform claimed attempts one by one, each in a transaction that commits both its effect and its record, or none.

    An attempt that fails is rolled back and recorded like any other failure. If the connection breaks, it is unknown
    whether the transaction was committed; if the server refuses to write, it was not. Its row shows that: if it is
    still running, the sweep takes it up.
    """
    recorded = Recorded()
    for one in work:
        try:
            recorded = recorded.joined(_perform(one, plan=plan, step=step, process=process, onward=onward))
        except Error as error:
            log.warning("connection_lost", extra={"run_id": str(one.run.id), "step": step.id, "error": str(error)})
            connection.close()
    return recorded


def _perform(work: Work, *, plan: Plan, step: PlannedStep, process: UUID, onward: Onward) -> Recorded:
    try:
        with transaction.atomic():
            # A thread cannot be stopped from outside, but the server can stop a statement.
            run(effects.LIMIT_STATEMENTS, milliseconds=int(step.timeout_seconds * 1000))
            before = transaction.savepoint()
            [result] = sub_workflows.resolved([performing.attempt(step, work)], [work], plan=plan)
            if result.state not in _KEPT:
                transaction.savepoint_rollback(before)
                transaction.set_rollback(False)
            outcome = performing.claimed(work, result, process=process)
            recorded = record.record_within(outcome, plan=plan, onward=onward)
            if not recorded.won:
                # The fence was lost: another process has the step now, and this attempt's effect must not be committed.
                transaction.set_rollback(True)
            return recorded
    except (DatabaseError, orjson.JSONEncodeError) as error:
        if passes(error):
            raise
        # A deferred constraint on what the effect wrote, or a value that PostgreSQL refuses in the record.
        refused = Retryable(f"PostgreSQL refused the step's transaction: {error}", kind="database")
        failed = failure.failed(step, work, refused, failure.Tried(work.clock.at))
    return record.record([performing.claimed(work, failed, process=process)], plan=plan, onward=onward)
