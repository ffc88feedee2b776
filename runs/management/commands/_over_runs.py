"""A command that does one verb to the runs that it is given, with a reason, and tells which it won."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandParser

from runs.control import preconditions
from runs.domain.actor import Actor
from runs.management.commands import _by_hand


class OverRuns(ABC, BaseCommand):
    """`done` is what the line of a run says that was won."""

    done: str

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("ids", nargs="+", metavar="ID")
        _by_hand.add_why(parser)

    def handle(self, **options: Any) -> None:
        actor = _by_hand.actor(self, options["why"], by=options["by"])
        ids = _by_hand.run_ids(self, options["ids"])
        won = self.verb(ids, actor=actor)
        states = preconditions.run_states(ids)
        told = {
            run_id: self.cannot(run_id, states[run_id]) if run_id in states else preconditions.NO_RUN for run_id in ids
        }
        _by_hand.tell(self, ids, won=won, verb=self.done, why_not=told)

    @abstractmethod
    def verb(self, run_ids: Sequence[UUID], *, actor: Actor) -> frozenset[UUID]:
        """Do it; answers the runs that were won."""

    @abstractmethod
    def cannot(self, run_id: UUID, state: str) -> str:
        """Why a run in this state was not won."""
