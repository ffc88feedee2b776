"""Approve a step that waits for approval, by hand. A command stands above the step's approvers: they are not asked."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django.core.management.base import BaseCommand, CommandParser

from runs.control import approvals, preconditions, verbs
from runs.control.approvals import COMMAND, Decision
from runs.control.verbs import Verb
from runs.management.commands import _by_hand
from runs.management.commands._by_hand import help_of
from runs.models import StepRun


class Command(BaseCommand):
    control_verb: ClassVar[Verb] = verbs.APPROVE
    help = f"{help_of(verbs.APPROVE)} The step's approvers are not asked."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("step", metavar="STEP")
        parser.add_argument("ids", nargs="+", metavar="ID")
        parser.add_argument("--item", type=int, default=-1, metavar="N", help="of a for_each, the item; counted from 0")
        _by_hand.add_why(parser)

    def handle(self, **options: Any) -> None:
        actor = _by_hand.actor(self, options["why"], by=options["by"])
        ids, step, item = _by_hand.run_ids(self, options["ids"]), options["step"], options["item"]
        decision = Decision(self.control_verb is verbs.APPROVE, by=options["by"] or COMMAND)
        decided = approvals.decide([(key, step, item) for key in ids], decision=decision, actor=actor)
        won = frozenset(step_key[0] for step_key in decided)
        states = preconditions.run_states(ids)
        told = {
            key: self._why_not(key, step, item) if key in states else preconditions.NO_RUN
            for key in ids
            if key not in won
        }
        _by_hand.tell(self, ids, won=won, verb=self.control_verb.past, why_not=told)

    def _why_not(self, run_id: UUID, step: str, item: int) -> str:
        row = StepRun.objects.select_related("run").filter(run_id=run_id, step=step, item=item).first()
        return approvals.cannot_decide(row, step=step, username=None)
