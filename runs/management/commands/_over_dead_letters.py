"""A command that does one verb to the dead letters that it is given, with a reason, and prints which it changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar
from uuid import UUID

from django.core.management.base import BaseCommand, CommandParser

from runs.control.verbs import DeadLetterVerb
from runs.domain.actor import Actor
from runs.management.commands import _by_hand
from runs.models import DeadLetter

_NONE = "there is no such dead letter"


class OverDeadLetters(BaseCommand):
    """`control_verb` is the verb of the catalogue; `help` is made of it by `_by_hand.help_of`."""

    control_verb: ClassVar[DeadLetterVerb]

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("ids", nargs="+", metavar="ID")
        _by_hand.add_why(parser)

    def handle(self, **options: Any) -> None:
        actor = _by_hand.actor(self, options["why"], by=options["by"])
        ids = _by_hand.dead_letter_ids(self, options["ids"])
        won = self.verb(ids, actor=actor, options=options)
        lost = [key for key in ids if key not in won]
        rows = DeadLetter.objects.select_related("run").only("id", "step", "state", "run__state").in_bulk(lost)
        why_not = {key: self.why_not(rows[key], options=options) if key in rows else _NONE for key in lost}
        notes = self.control_verb.notes(won)
        _by_hand.tell(self, ids, won=won, verb=self.control_verb.past, why_not=why_not, notes=notes)

    def verb(self, ids: Sequence[UUID], *, actor: Actor, options: dict[str, Any]) -> frozenset[UUID]:
        """Do it, and return the dead letters that this call changed."""
        return self.control_verb.function(ids, actor=actor)

    def why_not(self, dead_letter: DeadLetter, *, options: dict[str, Any]) -> str:
        """Why this dead letter was not changed."""
        return self.control_verb.why_not(dead_letter)
