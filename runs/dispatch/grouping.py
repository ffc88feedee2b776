"""Group due tickets into messages.

A head with many tickets gets messages of its own, which carry the chain of its segment. Heads of the same version with
few tickets each, such as the branches of a fan-out, share messages.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from django.conf import settings

from runs.dispatch import shares
from runs.dispatch.compiler import MAX_KEYS, fitting
from runs.domain.requests import Due
from runs.planning import plan as plans
from runs.planning.plan import Plan
from runs.planning.steps import Kind

log = logging.getLogger(__name__)

# With fewer tickets than this, a head shares messages with others, and a shared message is not made smaller than this
# only to give each worker child one.
FEW = 8


# Tickets at one head: version, head, and whether they are items of a for_each. A plain tuple, because one is made for
# every ticket.
_Head = tuple[UUID, str, bool]


class _Shared(NamedTuple):
    """Tickets of one version that are performed in the same way, at heads with few tickets each."""

    version_id: UUID
    kind: Kind
    item: bool


def spread_over(*, waiting: int = 0) -> int:
    """Return over how many messages tickets are spread, so that every worker child gets some.

    That is half a window: two messages for each child of all workers (2 * WORKERS if there is one worker). `waiting`
    messages are in the broker already and count as some of these.
    """
    return max(1, settings.DISPATCH_WINDOW_MESSAGES // 2 - waiting)


def grouped(due: Sequence[Due], *, room: int, spread: int, more: bool = False) -> list[list[Due]]:
    """Return the tickets as messages, in the order of the first ticket of each head.

    `room` is how many messages can be sent. Tickets that share messages are spread over `spread` of these or, if `more`
    tickets are due than these, fill messages. If the heads need more than twice the room, only those that fill messages
    of their own do not share.
    """
    spread = 1 if more else min(spread, room)
    messages = list(_messages(due, own=FEW, spread=spread))
    if settings.MIXED_MESSAGES and len(messages) > 2 * room:
        messages = list(_messages(due, own=MAX_KEYS, spread=spread))
    return messages


def needed(plan: Plan, *, runs: int) -> int:
    """Return how many messages the first tickets of this many new runs make, or a few less if their ids are long."""
    kinds = [plan.steps[root].kind(-1) for root in plan.definition.roots()]
    if not settings.MIXED_MESSAGES or runs >= FEW:
        return sum(-(-runs // _most(kind)) for kind in kinds)
    counts = {kind: runs * heads for kind, heads in Counter(kinds).items()}
    return sum(-(-count // _size(kind, count, spread=spread_over())) for kind, count in counts.items())


def _messages(due: Sequence[Due], *, own: int, spread: int) -> Iterator[list[Due]]:
    """Yield messages: of each head with at least `own` tickets or a full message, and of the others together."""
    heads: dict[_Head, list[Due]] = {}
    for ticket in due:
        heads.setdefault(_head(ticket), []).append(ticket)
    kinds = {head: kind for head in heads if (kind := _kind(head)) is not None}
    shared = _shared(heads, kinds, own=own) if settings.MIXED_MESSAGES and len(heads) > 1 else {}
    groups: dict[_Head | _Shared, list[Due]] = {}
    for ticket in due if shared else ():
        head = _head(ticket)
        groups.setdefault(shared.get(head, head), []).append(ticket)
    for group, found in (groups or heads).items():
        if isinstance(group, _Shared):
            yield from _cut_shared(found, size=_size(group.kind, len(found), spread=spread))
        elif group in kinds:
            size = _most(kinds[group])
            yield from (found[at : at + size] for at in range(0, len(found), size))


def _head(ticket: Due) -> _Head:
    return (ticket.version_id, ticket.head, ticket.item >= 0)


def _kind(group: _Head) -> Kind | None:
    """Return how the tickets are performed; None for a version that this code cannot read."""
    version_id, head, item = group
    try:
        return plans.load(version_id).steps[head].kind(0 if item else -1)
    except Exception:
        # It must not hold back the others. Its tickets are picked again, less and less often, until code that can read
        # it is deployed.
        log.exception("version_unusable", extra={"version_id": str(version_id), "head": head})
        return None


def _shared(heads: Mapping[_Head, Sequence[Due]], kinds: Mapping[_Head, Kind], *, own: int) -> dict[_Head, _Shared]:
    """Return the shared group of each head that has few tickets, if there is another such head in it."""
    found = {
        head: _Shared(head[0], kind, head[2])
        for head, kind in kinds.items()
        if len(heads[head]) < min(own, _most(kind))
    }
    counts = Counter(found.values())
    return {head: group for head, group in found.items() if counts[group] > 1}


def _cut_shared(found: Sequence[Due], *, size: int) -> Iterator[list[Due]]:
    """Cut the tickets of a shared group into messages of at most `size`, and of at most 32 KB."""
    at = 0
    while at < len(found):
        count = fitting([ticket.candidate for ticket in found[at : at + size]])
        yield list(found[at : at + count])
        at += count


def _size(kind: Kind, count: int, *, spread: int) -> int:
    """Return how many of `count` tickets a shared message has if they are to make `spread` messages."""
    return min(_most(kind), max(FEW, -(-count // spread)))


def _most(kind: Kind) -> int:
    """Return how many tickets one message may have: of pure steps, a quarter while several workspaces have work.

    Then a child is free for the next message sooner. Effectful steps hold it for a short time only.
    """
    if kind is not Kind.INLINE:
        return min(MAX_KEYS, settings.EFFECTFUL_BATCH_RUNS)
    most = settings.PURE_BATCH_RUNS
    return min(MAX_KEYS, max(min(most, FEW), most // 4) if shares.several() else most)
