"""Compile runs at a head into a Celery chain: one task for each link, from the head to the end of its segment."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from celery import Signature, chain, signature

from runs.domain.outcomes import Key
from runs.planning.plan import Plan

ADVANCE = "runs.advance"
# Bytes of a message's body: 32 KB less 2 KB for its envelope, before base64, which turns 3 bytes into 4. A link takes
# up to 400 of them, a key up to 50.
_MAX_BODY = (32 * 1024 - 2048) * 3 // 4
_LINK_BYTES = 400
_KEY_BYTES = 50
# Preloaded data of new runs takes at most twice KNOCK_INPUT_BYTES, because inputs are JSON inside JSON. Each run takes
# at least 50 of KNOCK_INPUT_BYTES, which limits how many runs of a message can be preloaded.
_PRELOADED_BYTES = 4096
_PRELOADED_KEYS = 2048 // 50
# Keys in one message, so that at least a few links fit beside them.
MAX_KEYS = 400
# Added to the longest timeout of a step that the delivery may perform itself: Celery kills the child only if the
# delivery could not end by then. It covers the delivery's own budget, and the drain of a child that is replaced.
HARD_LIMIT_GRACE_SECONDS = 30


def compile_chain(keys: Sequence[Key], *, plan: Plan, head: str, heads: Sequence[str] | None = None) -> Signature:
    """Return the chain from `head` to the end of its segment, or to where its message would exceed 32 KB.

    `heads`, if given, are its links, as `links` returns them. A chain that is cut is continued by the next message: the
    link behind the cut has a ticket, as every released head.
    """
    heads = links(keys, plan=plan, head=head) if heads is None else heads
    tasks = [_task(plan, head, keys), *[_task(plan, name) for name in heads[1:]]]
    return chain(*tasks) if len(tasks) > 1 else tasks[0]


def links(keys: Sequence[Key], *, plan: Plan, head: str) -> Sequence[str]:
    """Return the heads of the links, from `head` on, that fit into a message with these keys."""
    if keys and keys[0][1] >= 0:
        return (head,)  # after an item of a for_each nothing follows in the chain
    preloaded = _PRELOADED_BYTES if len(keys) <= _PRELOADED_KEYS else 0
    return plan.chain(head, most=max(1, (_MAX_BODY - preloaded - _KEY_BYTES * len(keys)) // _LINK_BYTES))


def encode(keys: Sequence[Key]) -> list[str]:
    """Return the keys as a message has them: the run's id, followed by `/item` inside a for_each."""
    return [str(run_id) if item < 0 else f"{run_id}/{item}" for run_id, item in keys]


def decode(texts: Sequence[str]) -> list[Key]:
    """Return the keys of a message without duplicates. Raises ValueError for a text that is not a key."""
    found = []
    for text in texts:
        run_id, _, item = text.partition("/")
        found.append((UUID(run_id), int(item) if item else -1))
    return list(dict.fromkeys(found))


def hard_limit(plan: Plan, head: str) -> int:
    """Return the seconds after which the worker kills a child that is still at a delivery which began at this head.

    A delivery waits for no effectful step, so these do not count: only steps that it performs in its own thread do.
    """
    return int(plan.longest_ahead(head)) + HARD_LIMIT_GRACE_SECONDS


def _task(plan: Plan, head: str, keys: Sequence[Key] = ()) -> Signature:
    # The hard limit: it kills a child in which an action does not end at its deadline.
    options: dict[str, object] = {"time_limit": hard_limit(plan, head)}
    if keys:
        # What Flower shows. Without these, Celery writes out all arguments for it, which is slow.
        options |= {"argsrepr": f"({len(keys)} runs, first {keys[0][0]})", "kwargsrepr": f"head {head}"}
    return signature(
        ADVANCE,
        args=(encode(keys),) if keys else (),
        kwargs={"version": str(plan.version_id), "head": head},
        options=options,
    )
