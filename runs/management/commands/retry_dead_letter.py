"""Retry the steps of dead letters by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.core.management.base import CommandParser

from runs.control import dead_letters, preconditions, verbs
from runs.domain.actor import Actor
from runs.management.commands import _by_hand
from runs.management.commands._by_hand import help_of
from runs.management.commands._over_dead_letters import OverDeadLetters
from runs.models import DeadLetter


class Command(OverDeadLetters):
    control_verb = verbs.RETRY_DEAD_LETTER
    help = help_of(verbs.RETRY_DEAD_LETTER)

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--input", metavar="JSON|@FILE", help="another input for the step (default: the one it had)"
        )

    def verb(self, ids: Sequence[UUID], *, actor: Actor, options: dict[str, Any]) -> frozenset[UUID]:
        given = None if options["input"] is None else _by_hand.read_json(self, options["input"], name="--input")
        return dead_letters.retry(ids, actor=actor, given=given)

    def why_not(self, dead_letter: DeadLetter, *, options: dict[str, Any]) -> str:
        given = None if options["input"] is None else _by_hand.read_json(self, options["input"], name="--input")
        return preconditions.cannot_retry_dead_letter(dead_letter, given=given)
