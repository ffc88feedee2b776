"""Let the steps of dead letters go on, by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.core.management.base import CommandParser

from runs.control import dead_letters, preconditions
from runs.domain.actor import Actor
from runs.management.commands import _by_hand
from runs.management.commands._over_letters import OverLetters
from runs.models import DeadLetter


class Command(OverLetters):
    help = (
        "Let the runs of dead letters go on from their steps. Exit status: 0 when at least one goes on, 1 when none "
        "does, 2 bad input."
    )
    done = "goes on"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--input", metavar="JSON|@FILE", help="another input for the step (default: the one it had)"
        )

    def verb(self, dead_letter_ids: Sequence[UUID], *, actor: Actor, options: dict[str, Any]) -> frozenset[UUID]:
        given = None if options["input"] is None else _by_hand.read_json(self, options["input"], name="--input")
        return dead_letters.retry(dead_letter_ids, actor=actor, given=given)

    def cannot(self, dead_letter: DeadLetter, *, options: dict[str, Any]) -> str:
        return preconditions.cannot_retry_dead_letter(dead_letter, edited=options["input"] is not None)
