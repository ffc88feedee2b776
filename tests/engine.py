"""Run the engine inside the test's process: every knock is performed here, through the real database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from runs import delivery, transitions
from runs import plan as plans
from runs.compiler import encode
from runs.dispatch import _messages
from runs.models import Run
from runs.recovery import sweep, wake


def knock_once() -> int:
    """Admit and pick what is due, and walk each message along its chain; answers how many messages there were."""
    due = transitions.admit(limit=10_000)
    due += transitions.pick(limit=10_000)
    messages = list(_messages(due))
    for message in messages:
        first = message[0]
        heads = plans.load(first.version_id).chain(first.head)
        texts = encode([(ticket.run_id, ticket.item) for ticket in message])
        for index, head in enumerate(heads):
            carried = heads[index + 1] if index + 1 < len(heads) else None
            texts = delivery.deliver(texts, version_id=first.version_id, head=head, carried=carried)
            if not texts:
                break
    return len(messages)


def drain(*, rounds: int = 1000) -> None:
    """Perform until nothing is due any more. Retries and waits that lie in the future stay."""
    for _ in range(rounds):
        wake()
        if knock_once() == 0:
            return
    raise AssertionError(f"the engine still found work after {rounds} rounds")


def state(run_id: UUID) -> str:
    """The run's state as it stands in the database."""
    return str(Run.objects.values_list("state", flat=True).get(pk=run_id))


__all__ = ["drain", "knock_once", "state", "sweep"]
