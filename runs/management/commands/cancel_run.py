"""Cancel runs by hand."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from runs import control, standing
from runs.management.commands import _by_hand


class Command(BaseCommand):
    help = (
        "Cancel runs that have not ended. Exit status: 0 when at least one was cancelled, 1 when none was, 2 bad input."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("ids", nargs="+", metavar="ID")
        _by_hand.add_why(parser)

    def handle(self, **options: Any) -> None:
        hand = _by_hand.hand(self, options["why"])
        ids = _by_hand.run_ids(self, options["ids"])
        won = control.cancel(ids, hand=hand)
        states = standing.run_states(ids)
        told = {
            run_id: standing.cannot_cancel(states[run_id]) if run_id in states else standing.NO_RUN for run_id in ids
        }
        _by_hand.tell(self, ids, won=won, verb="cancelled", why_not=told)
