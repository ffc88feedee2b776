"""A command that does one verb to the runs whose ids it is given, with a reason, and prints which it changed."""

from __future__ import annotations

from typing import Any, ClassVar

from django.core.management.base import BaseCommand, CommandParser

from runs.control import preconditions
from runs.control.verbs import RunVerb
from runs.management.commands import _by_hand


class OverRuns(BaseCommand):
    """`control_verb` is the verb of the catalogue; `help` is made of it by `_by_hand.help_of`."""

    control_verb: ClassVar[RunVerb]

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("ids", nargs="+", metavar="ID")
        _by_hand.add_why(parser)

    def handle(self, **options: Any) -> None:
        actor = _by_hand.actor(self, options["why"], by=options["by"])
        ids = _by_hand.run_ids(self, options["ids"])
        won = self.control_verb.function(ids, actor=actor)
        states = preconditions.run_states(ids)
        why_not = {
            run_id: self.control_verb.why_not(run_id, states[run_id]) if run_id in states else preconditions.NO_RUN
            for run_id in ids
            if run_id not in won
        }
        notes = self.control_verb.notes(won)
        _by_hand.tell(self, ids, won=won, verb=self.control_verb.past, why_not=why_not, notes=notes)
