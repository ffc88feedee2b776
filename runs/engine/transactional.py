"""Perform a step whose effect is in the same database, in the transaction that records it: exactly once."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from uuid import UUID

import orjson
from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction

from actions.base import Retryable
from runs.domain.outcomes import Recorded
from runs.domain.states import StepState
from runs.engine import attempt as performing
from runs.engine import failure, record, sub_workflows
from runs.engine.work import Work
from runs.planning.plan import Plan
from runs.planning.steps import PlannedStep
from runs.queries import effects
from runs.queries.database import run

log = logging.getLogger(__name__)

_KEPT = (StepState.SUCCEEDED, StepState.WAITING, StepState.SKIPPED)


def perform(work: Sequence[Work], *, plan: Plan, step: PlannedStep, process: UUID, carried: str | None) -> Recorded:
    """Perform claimed attempts one by one, each in a transaction that commits its effect and its record, or neither.

    An attempt that fails is rolled back, and recorded as any other failure. Where the connection breaks, nobody
    knows which way the transaction went: the row says so, and the sweep takes it up if it still runs.
    """
    recorded = Recorded()
    for one in work:
        try:
            recorded = recorded.joined(_perform(one, plan=plan, step=step, process=process, carried=carried))
        except (OperationalError, InterfaceError) as error:
            log.warning("connection_lost", extra={"run_id": str(one.run.id), "step": step.id, "error": str(error)})
            connection.close()
    return recorded


def _perform(work: Work, *, plan: Plan, step: PlannedStep, process: UUID, carried: str | None) -> Recorded:
    try:
        with transaction.atomic():
            # A thread cannot be asked to stop; a server can.
            run(effects.LIMIT_STATEMENTS, milliseconds=int(step.timeout_seconds * 1000))
            before = transaction.savepoint()
            [result] = sub_workflows.resolved([performing.attempt(step, work)], [work], plan=plan)
            if result.state not in _KEPT:
                transaction.savepoint_rollback(before)
                transaction.set_rollback(False)
            outcome = performing.claimed(work, result, process=process)
            recorded = record.record_within(outcome, plan=plan, carried=carried)
            if not recorded.won:
                # Somebody else has the step by now: what this attempt wrote must not stay.
                transaction.set_rollback(True)
            return recorded
    except (OperationalError, InterfaceError):
        raise
    except (DatabaseError, orjson.JSONEncodeError) as error:
        # The effect's deferred constraints, or values that PostgreSQL refuses in the record.
        refused = Retryable(f"PostgreSQL refused the step's transaction: {error}", kind="database")
        failed = failure.failed(step, work, refused, failure.Tried(work.clock.at))
    return record.record([performing.claimed(work, failed, process=process)], plan=plan, carried=carried)
