"""Compile runs at a head into a Celery chain: one task for each link of the segment that the head stands in."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from celery import Signature, chain, signature

from runs.outcomes import Key
from runs.plan import Plan

ADVANCE = "runs.advance"
# A link takes about 400 bytes of a message and an id 40, so that with 200 runs this stays below 32 KB. The next
# chain begins where this one is cut, from the ticket that stands there.
MAX_LINKS = 40
# Beyond the step's timeout: the worker's child is ended only where the executor itself did not get to answer.
HARD_LIMIT_GRACE_SECONDS = 30


def compile_chain(keys: Sequence[Key], *, plan: Plan, head: str) -> Signature:
    """The chain from `head` to the end of its segment, cut where its message would pass 32 KB."""
    heads = plan.chain(head)[:MAX_LINKS]
    tasks = [_task(plan, name) for name in heads]
    tasks[0] = tasks[0].clone(args=(encode(keys),))
    return chain(*tasks) if len(tasks) > 1 else tasks[0]


def encode(keys: Sequence[Key]) -> list[str]:
    """Keys as they travel: the run's id, with `/item` behind it inside a for_each."""
    return [str(run_id) if item < 0 else f"{run_id}/{item}" for run_id, item in keys]


def decode(texts: Sequence[str]) -> list[Key]:
    """The keys of a message. Raises ValueError for anything that is none."""
    found = []
    for text in texts:
        run_id, _, item = text.partition("/")
        found.append((UUID(run_id), int(item) if item else -1))
    return found


def _task(plan: Plan, head: str) -> Signature:
    # The hard limit ends a child that an action holds beyond its deadline.
    limit = int(plan.link(head).head.timeout_seconds) + HARD_LIMIT_GRACE_SECONDS
    return signature(
        ADVANCE,
        args=(),
        kwargs={"version": str(plan.version_id), "head": head},
        options={"time_limit": limit},
    )
