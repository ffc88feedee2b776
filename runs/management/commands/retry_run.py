"""Retry failed runs by hand."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from actions.base import Json
from runs.control import preconditions, retries, verbs
from runs.management.commands import _by_hand
from workflows.management.commands import _common


class Command(BaseCommand):
    help = _by_hand.help_of(verbs.RETRY)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("ids", nargs="+", metavar="ID")
        parser.add_argument(
            "--step-input",
            action="append",
            default=[],
            metavar="STEP=JSON|@FILE",
            help="another input for a failed step",
        )
        _by_hand.add_why(parser)

    def handle(self, **options: Any) -> None:
        actor = _by_hand.actor(self, options["why"], by=options["by"])
        ids = _by_hand.run_ids(self, options["ids"])
        edited = self._inputs(options["step_input"])
        inputs = {(run_id, step): given for run_id in ids for step, given in edited.items()}
        won = retries.retry(ids, actor=actor, inputs=inputs)
        states = preconditions.run_states(ids)
        told = {
            run_id: preconditions.cannot_retry(run_id, states[run_id], edited=edited)
            if run_id in states
            else preconditions.NO_RUN
            for run_id in ids
            if run_id not in won
        }
        _by_hand.tell(self, ids, won=won, verb=verbs.RETRY.past, why_not=told, notes=verbs.RETRY.notes(won))

    def _inputs(self, given: list[str]) -> dict[str, Json]:
        found = {}
        for text in given:
            step, equals, value = text.partition("=")
            if not (step and equals):
                _common.leave(self, [f"--step-input: {text[:80]!r} must be written as STEP=JSON"])
            found[step] = _by_hand.read_json(self, value, name=f"--step-input {step}")
        return found
