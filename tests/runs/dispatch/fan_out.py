"""Versions with many heads, and tickets at them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import count
from typing import Any
from uuid import UUID, uuid4

from runs.domain.candidates import heads_of
from runs.domain.requests import Due
from tests.flows import published
from workflows.publishing.publish import Published

PURE: Mapping[str, Any] = {"action": "default"}
EFFECTFUL: Mapping[str, Any] = {"action": "sleep", "with": {"seconds": 0}}
_numbers = count(1)


def roots(*steps: Mapping[str, Any]) -> Published:
    """A version whose steps all begin at once, as b0, b1, ..."""
    made = [{"id": f"b{number}", "needs": [], **step} for number, step in enumerate(steps)]
    return published(json.dumps({"name": f"roots-{next(_numbers)}", "steps": made}))


def fan_out(branches: int, step: Mapping[str, Any] = PURE, *, after: Mapping[str, Any] | None = None) -> Published:
    """A step, `branches` that need it (each followed by one `after` step, if given), and one that needs them all."""
    steps = [{"id": "root", **PURE}]
    ends = []
    for number in range(branches):
        steps.append({"id": f"b{number}", "needs": ["root"], **step})
        if after is not None:
            steps.append({"id": f"c{number}", "needs": [f"b{number}"], **after})
        ends.append(steps[-1]["id"])
    steps.append({"id": "join", "needs": ends, **PURE})
    return published(json.dumps({"name": f"fan-out-{next(_numbers)}", "steps": steps}))


def due(found: Published, *heads: str, run: UUID | None = None, items: Iterable[int] = (-1,)) -> list[Due]:
    """Tickets at these heads of a run, in order."""
    run_id = run or uuid4()
    return [Due(next(_numbers), run_id, item, found.version.pk, head) for head in heads for item in items]


def shapes(messages: Iterable[Iterable[Due]]) -> list[tuple[int, int]]:
    """How many tickets each message has, and at how many heads."""
    told = [[ticket.candidate for ticket in message] for message in messages]
    return [(len(candidates), len(heads_of(candidates))) for candidates in told]
