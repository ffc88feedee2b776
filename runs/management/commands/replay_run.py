"""Start a new run from a step of one that has ended, by hand."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandParser

from actions.base import Json
from runs.control import replays, verbs
from runs.control.replays import NotNow
from runs.domain.actor import Actor
from runs.management.commands import _by_hand
from runs.models import Run
from workflows.definitions.errors import InvalidInput
from workflows.management.commands import _common


class Command(BaseCommand):
    help = (
        f"{verbs.REPLAY.does} Prints the new run's id. "
        "Exit status: 0 started, 1 not legal as the run stands, 2 bad input."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("id", metavar="ID")
        parser.add_argument("--step", metavar="STEP", help="the step to begin with (default: from the beginning)")
        parser.add_argument("--latest", action="store_true", help="with the workflow's current version")
        parser.add_argument("--input", metavar="JSON|@FILE", help="another run input (default: the old run's)")
        _by_hand.add_why(parser)

    def handle(self, **options: Any) -> None:
        actor = _by_hand.actor(self, options["why"], by=options["by"])
        [run_id] = _by_hand.run_ids(self, [options["id"]])
        given = None if options["input"] is None else _by_hand.read_json(self, options["input"], name="--input")
        new = self._replay(run_id, step=options["step"], latest=options["latest"], given=given, actor=actor)
        self.stdout.write(str(new))

    def _replay(self, run_id: UUID, *, step: str | None, latest: bool, given: Json, actor: Actor) -> UUID:
        try:
            return replays.replay(run_id, step=step, latest=latest, given=given, actor=actor)
        except NotNow as refusal:
            _common.leave(self, [refusal], status=_by_hand.NOTHING_WON)
        except InvalidInput as error:
            _common.leave(self, error.problems)
        except Run.DoesNotExist:
            _common.leave(self, [f"there is no run {run_id}"])
