"""Compile candidates into a Celery chain: one task for each link, from their head to the end of its segment.

Candidates at several heads of a version make a *mixed* message, which is a single task.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from uuid import UUID

from celery import Signature, chain, signature

from runs.domain.candidates import Candidate, heads_of
from runs.planning.plan import Plan
from runs.planning.steps import UNDO
from workflows.definitions.definition import STEP_ID

ADVANCE = "runs.advance"
# Bytes of a message's body: 32 KB less 2 KB for its envelope, before base64, which turns 3 bytes into 4. A link takes
# up to 400 of them, a candidate at the message's head up to 50, quotes included, and `@` with another head some more.
_MAX_BODY = (32 * 1024 - 2048) * 3 // 4
_LINK_BYTES = 400
_KEY_BYTES = 50
_HEAD_BYTES = len("@")
# Preloaded data of new runs takes at most twice KNOCK_INPUT_BYTES, because inputs are JSON inside JSON. Each run takes
# at least 50 of KNOCK_INPUT_BYTES, which limits how many runs of a message can be preloaded.
_PRELOADED_BYTES = 4096
_PRELOADED_KEYS = 2048 // 50
# Keys in one message, so that at least a few links fit beside them.
MAX_KEYS = 400
# Added to the longest timeout of a step that the delivery may perform itself: Celery kills the child only if the
# delivery could not end by then. It covers the delivery's own budget, and the drain of a child that is replaced.
HARD_LIMIT_GRACE_SECONDS = 30

_HEAD = re.compile(rf"(?:{UNDO})?{STEP_ID.pattern}")
# A run's id as Python writes it, so that each has one text only.
_RUN = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# A run, an item, and a head that is not the message's: each may be left out, as `encode` says.
_TEXT = re.compile(rf"({_RUN.pattern})?(?:/([0-9]{{1,9}}))?(?:@({_HEAD.pattern}))?")


def compile_chain(candidates: Sequence[Candidate], *, plan: Plan, heads: Sequence[str] | None = None) -> Signature:
    """Return the chain from the candidates' head to the end of its segment, or to where its message would exceed 32 KB.

    `heads`, if given, are its links, as `links` returns them. A chain that is cut is continued by the next message: the
    link behind the cut has a ticket, as every released head.
    """
    heads = links(candidates, plan=plan) if heads is None else heads
    tasks = [_task(plan, heads_of(candidates), candidates), *[_task(plan, [name]) for name in heads[1:]]]
    return chain(*tasks) if len(tasks) > 1 else tasks[0]


def links(candidates: Sequence[Candidate], *, plan: Plan) -> Sequence[str]:
    """Return the heads of the links, from the first candidate's head on, that fit into a message with these candidates.

    A mixed message has one link: what follows its candidates lies in several segments, and gets tickets.
    """
    _, item, head = candidates[0]
    # After an item of a for_each nothing follows in the chain.
    if item >= 0 or mixed(candidates):
        return (head,)
    preloaded = _PRELOADED_BYTES if len(candidates) <= _PRELOADED_KEYS else 0
    return plan.chain(head, most=max(1, (_MAX_BODY - preloaded - _KEY_BYTES * len(candidates)) // _LINK_BYTES))


def mixed(candidates: Sequence[Candidate]) -> bool:
    """Whether they are at more than one head."""
    head = candidates[0].head
    return any(one.head != head for one in candidates)


def fitting(candidates: Sequence[Candidate]) -> int:
    """Return how many of these, from the first one on, a mixed message can hold, also if some of them are taken out."""
    size = _LINK_BYTES
    for count, one in enumerate(candidates):
        # Counted as if its text had the run's id and the head: it may be the first one in the end.
        size += _KEY_BYTES + _HEAD_BYTES + len(one.head)
        if size > _MAX_BODY:
            return count
    return len(candidates)


def encode(candidates: Sequence[Candidate]) -> list[str]:
    """Return the candidates as a message has them, whose head is that of the first candidate.

    At the message's head: the run's id, followed by `/item` inside a for_each. At another head `@head` is appended, and
    the run's id is left out if it is that of the text before. For example, steps b1 and b2 of one run, and item 7 of
    its step b3: `["<run>", "@b2", "/7@b3"]`.
    """
    texts: list[str] = []
    head = candidates[0].head if candidates else ""
    before: UUID | None = None
    for run_id, item, at in candidates:
        text = "" if at != head and run_id == before else str(run_id)
        if item >= 0:
            text += f"/{item}"
        texts.append(text if at == head else f"{text}@{at}")
        before = run_id
    return texts


def decode(texts: object, *, head: str) -> list[Candidate]:
    """Return the candidates of a message at this head without duplicates, in order.

    Raises ValueError for a head that no step can have, and for anything that `encode` does not write.
    """
    if not isinstance(texts, (list, tuple)):
        raise ValueError(f"the runs of a message are a {type(texts).__name__}; expected a list")  # noqa: TRY004
    if not isinstance(head, str) or not _HEAD.fullmatch(head):
        raise ValueError(f"{head!r} is no step's id")
    runs = [text for text in texts if isinstance(text, str) and _RUN.fullmatch(text)]
    if len(runs) == len(texts):
        # As in most messages: runs at the message's head, for which this is quicker than what follows.
        return [Candidate(UUID(text), -1, head) for text in dict.fromkeys(runs)]
    found: dict[Candidate, None] = {}
    run_id: UUID | None = None
    for text in texts:
        parts = _TEXT.fullmatch(text) if isinstance(text, str) else None
        run, item, other = parts.groups() if parts else (None, None, None)
        if run is not None:
            run_id = UUID(run)
        if run_id is None or (run is None and other is None):
            raise ValueError(f"{text!r} is no candidate; expected run, run/item, run@step, run/item@step")
        found[Candidate(run_id, -1 if item is None else int(item), other or head)] = None
    return list(found)


def hard_limit(plan: Plan) -> int:
    """Return the seconds after which the worker kills a child that is still at a delivery of this plan.

    A delivery waits for no effectful step, so these do not count: only steps that it performs in its own thread do.
    """
    return int(plan.longest_in_thread) + HARD_LIMIT_GRACE_SECONDS


def args_shown(candidates: Sequence[Candidate], *, heads: Sequence[str]) -> str:
    """Return what Flower shows of a message's arguments."""
    if len(heads) > 1:
        return f"({len(candidates)} steps, first of {candidates[0].run_id})"
    return f"({len(candidates)} runs, first {candidates[0].run_id})"


def heads_shown(heads: Sequence[str]) -> str:
    """Return what Flower shows of a message's heads, after the word `head`."""
    if len(heads) == 1:
        return heads[0]
    return f"{heads[0]} and {len(heads) - 1} other{'s' if len(heads) > 2 else ''}"


def _task(plan: Plan, heads: Sequence[str], candidates: Sequence[Candidate] = ()) -> Signature:
    # The hard limit: it kills a child in which an action does not end at its deadline.
    options: dict[str, object] = {"time_limit": hard_limit(plan)}
    if candidates:
        # What Flower shows. Without these, Celery writes out all arguments for it, which is slow.
        shown = args_shown(candidates, heads=heads)
        options |= {"argsrepr": shown, "kwargsrepr": f"head {heads_shown(heads)}"}
    return signature(
        ADVANCE,
        args=(encode(candidates),) if candidates else (),
        kwargs={"version": str(plan.version_id), "head": heads[0]},
        options=options,
    )
