"""Prune: forget runs that ended long enough ago, in small bites, so that what is live keeps its pace."""

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

# Runs looked at in one bite, and rows deleted in it: what a transaction of a few hundredths of a second can do.
PAGE_RUNS = 500
BATCH_ROWS = 2000
# A single run may have more rows than that: its steps go so many by a statement, in one transaction with the run.
STATEMENT_ROWS = 10_000
PAGE_GATES = 500
# Between two bites it rests as long as so many of them took, and at least so many seconds.
REST = 2.0
REST_SECONDS = 0.02

_FIRST = UUID(int=0)


@dataclass(frozen=True)
class Policy:
    """One workflow whose runs go when they ended more than so many seconds ago."""

    workflow_id: UUID
    name: str
    seconds: float


@dataclass(frozen=True)
class Batch:
    """What one short transaction did: runs deleted (dry: to be deleted), and the seconds that it took."""

    runs: int
    seconds: float


def due() -> list[Policy]:
    """The policies of workflows that have a run of that age, whether or not it may go."""
    return [Policy(row[0], row[1], float(row[2])) for row in run(retention.DUE)]


def prune(policy: Policy, *, dry: bool = False) -> Iterator[Batch]:
    """Delete the workflow's old runs with all their rows, oldest first; answers bite by bite.

    What is live is never touched, nor what anything still needs (retention_queries.FREE). `dry` only counts. Whoever
    iterates rests between the bites: see `rest`.
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
    """How many seconds to leave the database to others after this bite."""
    return max(REST_SECONDS, REST * batch.seconds)


def prune_all(*, wait: Callable[[float], bool]) -> int:
    """Prune what every workflow's policy says, and gates that nobody uses; answers how many runs went.

    `wait` rests for so many seconds and answers whether to stop. Does nothing where another process is at it.
    """
    if not run(retention.TRY_LOCK)[0][0]:
        return 0
    try:
        prune_gates(wait=wait)
        return sum(_prune_told(policy, wait=wait) for policy in due())
    finally:
        run(retention.UNLOCK)


def prune_gates(*, wait: Callable[[float], bool]) -> int:
    """Delete the gates that no run is in or could come back to; answers how many."""
    after, count = 0, 0
    while page := [row[0] for row in run(retention.GATES, after=after, limit=PAGE_GATES)]:
        with transaction.atomic():
            unused = [row[0] for row in run(retention.LOCK_UNUSED, gates=page)]
            # Decided anew: the snapshot that they were locked by is older than the locks.
            count += len(run(retention.DELETE_UNUSED, gates=unused)) if unused else 0
        after = page[-1]
        if len(page) < PAGE_GATES or wait(REST_SECONDS):
            break
    return count


def tell(workflow_id: UUID, *, why: str) -> None:
    """Write down with the workflow what was pruned by hand."""
    run(interventions.TELL, workflow=workflow_id, why=why)


def _prune_told(policy: Policy, *, wait: Callable[[float], bool]) -> int:
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
    """The runs that one batch deletes, and the first run that it has no room for.

    `oversized`: it is a single run, which has more rows than a batch.
    """

    runs: list[UUID]
    left: UUID | None
    oversized: bool


@transaction.atomic
def _delete(old: Sequence[UUID], *, seconds: float) -> _Choice:
    """Delete as many of these as a batch holds."""
    choice = _choose([row[0] for row in run(retention.LOCK, runs=list(old), seconds=seconds)])
    if choice.oversized:
        _delete_steps(choice.runs[0])
    if choice.runs:
        run(retention.DELETE, runs=choice.runs)
    return choice


@transaction.atomic
def _count(old: Sequence[UUID], *, seconds: float) -> _Choice:
    """What _delete would delete; nothing is locked."""
    return _choose(old)


def _choose(run_ids: Sequence[UUID]) -> _Choice:
    """Those of the runs, in their order, that nothing needs any more and that fit into one batch."""
    free = run(retention.FREE, runs=list(run_ids), limit=BATCH_ROWS) if run_ids else []
    sizes = accumulate(steps + 1 for _, steps in free)
    fitting = sum(size <= BATCH_ROWS for size in sizes)
    # A run that is too large for any batch goes alone.
    chosen = [row[0] for row in free[: fitting or 1]]
    left = free[len(chosen)][0] if len(chosen) < len(free) else None
    return _Choice(chosen, left, oversized=bool(chosen) and not fitting)


def _delete_steps(run_id: UUID) -> None:
    while len(run(retention.DELETE_STEPS, run=run_id, limit=STATEMENT_ROWS)) == STATEMENT_ROWS:
        pass
