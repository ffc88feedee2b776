"""Discard dead letters by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from runs.control import dead_letters, preconditions
from runs.domain.actor import Actor
from runs.management.commands._over_letters import OverLetters
from runs.models import DeadLetter


class Command(OverLetters):
    help = (
        "Close dead letters for good; their runs stay as they are. Exit status: 0 when at least one was closed, 1 when "
        "none was, 2 bad input."
    )
    done = "discarded"

    def verb(self, dead_letter_ids: Sequence[UUID], *, actor: Actor, options: dict[str, Any]) -> frozenset[UUID]:
        return dead_letters.discard(dead_letter_ids, actor=actor)

    def cannot(self, dead_letter: DeadLetter, *, options: dict[str, Any]) -> str:
        return preconditions.cannot_discard(dead_letter.state)
