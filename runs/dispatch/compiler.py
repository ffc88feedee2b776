"""Compile runs at a head into a Celery chain: one task for each link of the segment that the head stands in."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from celery import Signature, chain, signature

from runs.domain.outcomes import Key
from runs.planning.plan import Plan

ADVANCE = "runs.advance"
# Bytes. Celery sends its body in base64, which makes 3 bytes 4; a link takes up to 400 of the body and a key up to 50.
_MAX_BODY = (32 * 1024 - 2048) * 3 // 4
_LINK_BYTES = 400
_KEY_BYTES = 50
# What is told of new runs takes twice KNOCK_INPUT_BYTES at most, for their inputs are JSON within JSON; of which each
# run takes 50 at least, so that there are never more of them.
_TOLD_BYTES = 4096
_TOLD_KEYS = 2048 // 50
# So that at least a few links fit beside the keys.
MAX_KEYS = 400
# Beyond the step's timeout: the worker's child is ended only where the executor itself did not get to answer.
HARD_LIMIT_GRACE_SECONDS = 30


def compile_chain(keys: Sequence[Key], *, plan: Plan, head: str, heads: Sequence[str] | None = None) -> Signature:
    """The chain from `head` to the end of its segment, cut where its message would pass 32 KB (or over `heads`).

    The next chain begins where this one is cut, from the ticket that stands there.
    """
    heads = links(keys, plan=plan, head=head) if heads is None else heads
    tasks = [_task(plan, head, keys), *[_task(plan, name) for name in heads[1:]]]
    return chain(*tasks) if len(tasks) > 1 else tasks[0]


def links(keys: Sequence[Key], *, plan: Plan, head: str) -> Sequence[str]:
    """The heads of the links that a message with these keys has room for, `head` the first."""
    if keys and keys[0][1] >= 0:
        return (head,)  # an item hands nothing on
    told = _TOLD_BYTES if len(keys) <= _TOLD_KEYS else 0
    return plan.chain(head, most=max(1, (_MAX_BODY - told - _KEY_BYTES * len(keys)) // _LINK_BYTES))


def encode(keys: Sequence[Key]) -> list[str]:
    """Keys as they travel: the run's id, with `/item` behind it inside a for_each."""
    return [str(run_id) if item < 0 else f"{run_id}/{item}" for run_id, item in keys]


def decode(texts: Sequence[str]) -> list[Key]:
    """The keys of a message, each once. Raises ValueError for anything that is none."""
    found = []
    for text in texts:
        run_id, _, item = text.partition("/")
        found.append((UUID(run_id), int(item) if item else -1))
    return list(dict.fromkeys(found))


def hard_limit(plan: Plan, head: str) -> int:
    """Seconds after which the worker ends a child that is still at this link."""
    return int(plan.steps[head].timeout_seconds) + HARD_LIMIT_GRACE_SECONDS


def _task(plan: Plan, head: str, keys: Sequence[Key] = ()) -> Signature:
    # The hard limit ends a child that an action holds beyond its deadline.
    options: dict[str, object] = {"time_limit": hard_limit(plan, head)}
    if keys:
        # What Flower shows. Celery would write out all arguments for it, which takes its time.
        options |= {"argsrepr": f"({len(keys)} runs, first {keys[0][0]})", "kwargsrepr": f"head {head}"}
    return signature(
        ADVANCE,
        args=(encode(keys),) if keys else (),
        kwargs={"version": str(plan.version_id), "head": head},
        options=options,
    )
