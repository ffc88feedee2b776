"""Retention: delete runs that ended long enough ago, in small batches, so that live runs are not slowed down."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from uuid import UUID

from django.db import transaction

from runs.queries import interventions, retention
from runs.queries.database import run

log = logging.getLogger(__name__)

# Runs that one batch looks at, and rows that it deletes: as many as a transaction of a few hundredths of a second can.
PAGE_RUNS = 500
BATCH_ROWS = 2000
# A single run may have more rows than a batch. Its step rows are deleted this many per statement, in one transaction
# with the run.
STATEMENT_ROWS = 10_000
PAGE_GATES = 500
# The pause after a batch: this many times what the batch took, and at least this many seconds.
REST = 2.0
REST_SECONDS = 0.02

_FIRST = UUID(int=0)


@dataclass(frozen=True)
class Policy:
    """Runs of this workflow are deleted when they ended more than `seconds` ago."""

    workflow_id: UUID
    name: str
    seconds: float


@dataclass(frozen=True)
class Batch:
    """What one short transaction did: how many runs it deleted (in a dry run: would delete), and how long it took."""

    runs: int
    seconds: float


def due() -> list[Policy]:
    """Return the policies of workflows that have a run old enough, whether or not it may be deleted."""
    return [Policy(row[0], row[1], float(row[2])) for row in run(retention.DUE)]


def prune(policy: Policy, *, dry: bool = False) -> Iterator[Batch]:
    """Delete the workflow's old runs with all their rows, oldest first, and yield each batch.

    Live runs, and runs that something still needs (runs.queries.retention.FREE), are never deleted. `dry` only counts.
    The caller pauses between the batches: see `rest`.
    """
    go = _count if dry else _delete
    after: UUID | None = _FIRST
    while after is not None:
        began = time.monotonic()
        page = run(
            retention.PAGE,
            workflow=policy.workflow_id,
            seconds=policy.seconds,
            after=after,
            limit=PAGE_RUNS,
        )
        old = [row[0] for row in page if row[1]]
        choice = go(old, seconds=policy.seconds)
        behind = page[-1][0] if len(page) == PAGE_RUNS else None
        after = behind if choice.left is None else UUID(int=choice.left.int - 1)
        yield Batch(len(choice.runs), time.monotonic() - began)


def rest(batch: Batch) -> float:
    """Return how many seconds to pause after this batch, to leave the database to others."""
    return max(REST_SECONDS, REST * batch.seconds)


def prune_all(*, wait: Callable[[float], bool]) -> int:
    """Prune runs by the policies of all workflows, and unused gates; return how many runs were deleted.

    `wait` pauses for a number of seconds, and returns whether to stop. Does nothing if another process is pruning.
    """
    if not run(retention.TRY_LOCK)[0][0]:
        return 0
    try:
        prune_gates(wait=wait)
        return sum(_prune_logged(policy, wait=wait) for policy in due())
    finally:
        run(retention.UNLOCK)


def prune_gates(*, wait: Callable[[float], bool]) -> int:
    """Delete the gates that no run is in or could come back to, and return how many."""
    after, count = 0, 0
    while page := [row[0] for row in run(retention.GATES, after=after, limit=PAGE_GATES)]:
        with transaction.atomic():
            unused = [row[0] for row in run(retention.LOCK_UNUSED, gates=page)]
            # Decided again by a later statement: the snapshot of the one that locked them is older than the locks.
            count += len(run(retention.DELETE_UNUSED, gates=unused)) if unused else 0
        after = page[-1]
        if len(page) < PAGE_GATES or wait(REST_SECONDS):
            break
    return count


def tell(workflow_id: UUID, *, why: str) -> None:
    """Record an intervention on the workflow: it was pruned by hand."""
    run(interventions.TELL, workflow=workflow_id, why=why)


def _prune_logged(policy: Policy, *, wait: Callable[[float], bool]) -> int:
    count, longest = 0, 0.0
    for batch in prune(policy):
        count += batch.runs
        longest = max(longest, batch.seconds)
        if wait(rest(batch)):
            break
    if count:
        log.info("runs_pruned", extra={"workflow": policy.name, "count": count, "longest_seconds": round(longest, 3)})
    return count


@dataclass(frozen=True)
class _Choice:
    """The runs that one batch deletes, and `left`, the first run for which it had no room.

    `oversized`: the batch is a single run that has more rows than a batch may.
    """

    runs: list[UUID]
    left: UUID | None
    oversized: bool


@transaction.atomic
def _delete(old: Sequence[UUID], *, seconds: float) -> _Choice:
    """Delete as many of these runs as fit into one batch."""
    choice = _choose([row[0] for row in run(retention.LOCK, runs=list(old), seconds=seconds)])
    if choice.oversized:
        _delete_steps(choice.runs[0])
    if choice.runs:
        run(retention.DELETE, runs=choice.runs)
    return choice


@transaction.atomic
def _count(old: Sequence[UUID], *, seconds: float) -> _Choice:
    """Return what _delete would delete, without locking or deleting anything."""
    return _choose(old)


def _choose(run_ids: Sequence[UUID]) -> _Choice:
    """Return those of the runs, in this order, that nothing needs any more and that fit into one batch."""
    free = run(retention.FREE, runs=list(run_ids), limit=BATCH_ROWS) if run_ids else []
    sizes = accumulate(steps + 1 for _, steps in free)
    fitting = sum(size <= BATCH_ROWS for size in sizes)
    # A run that is too large for any batch is deleted alone.
    chosen = [row[0] for row in free[: fitting or 1]]
    left = free[len(chosen)][0] if len(chosen) < len(free) else None
    return _Choice(chosen, left, oversized=bool(chosen) and not fitting)


def _delete_steps(run_id: UUID) -> None:
    while len(run(retention.DELETE_STEPS, run=run_id, limit=STATEMENT_ROWS)) == STATEMENT_ROWS:
        pass
