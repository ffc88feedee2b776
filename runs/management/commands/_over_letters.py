"""A command that does one verb to the dead letters that it is given, with a reason, and tells which it won."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandParser

from runs.domain.actor import Actor
from runs.management.commands import _by_hand
from runs.models import DeadLetter

_NONE = "there is no such dead letter"


class OverLetters(ABC, BaseCommand):
    """`done` is what the line of a dead letter says that was won."""

    done: str

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("ids", nargs="+", metavar="ID")
        _by_hand.add_why(parser)

    def handle(self, **options: Any) -> None:
        actor = _by_hand.actor(self, options["why"], by=options["by"])
        ids = _by_hand.dead_letter_ids(self, options["ids"])
        won = self.verb(ids, actor=actor, options=options)
        slim = DeadLetter.objects.select_related("run").only("id", "step", "state", "run__state")
        letters = slim.in_bulk([key for key in ids if key not in won])
        told = {
            key: self.cannot(letters[key], options=options) if key in letters else _NONE
            for key in ids
            if key not in won
        }
        _by_hand.tell(self, ids, won=won, verb=self.done, why_not=told)

    @abstractmethod
    def verb(self, dead_letter_ids: Sequence[UUID], *, actor: Actor, options: dict[str, Any]) -> frozenset[UUID]:
        """Do it; answers the dead letters that were won."""

    @abstractmethod
    def cannot(self, dead_letter: DeadLetter, *, options: dict[str, Any]) -> str:
        """Why this dead letter was not won."""
