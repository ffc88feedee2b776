"""The command that sets or shows for how many days runs are kept after their end."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from actions.durations import seconds_with_unit
from workflows.management.commands import _common
from workflows.models import Workflow

_LONGEST = 36_500


class Command(BaseCommand):
    help = (
        "Set for how many days the runs of a workspace, or of one workflow, are kept after their end, and print it. "
        "Exit status: 0 done, 2 bad input."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "days", nargs="?", metavar="30d|4w|forever|default", help="default: the workspace's setting"
        )
        parser.add_argument("--workflow", metavar="NAME", help="of this workflow only")
        _common.add_workspace(parser)

    def handle(self, **options: Any) -> None:
        workspace = _common.find_workspace(self, options["workspace"])
        name = options["workflow"]
        owner = workspace if name is None else _common.find_workflow(self, name, workspace=workspace)
        if (given := options["days"]) is not None:
            owner.keep_days = self._days(given)
            owner.save(update_fields=["keep_days"])
        days = owner.keep_days
        if isinstance(owner, Workflow) and days is None:
            days = workspace.keep_days
        self.stdout.write(f"{owner.name}  runs are kept {f'{days} days after their end' if days else 'for ever'}")

    def _days(self, given: str) -> int | None:
        if given in ("forever", "default"):
            return 0 if given == "forever" else None
        try:
            days = seconds_with_unit(given) / 86400
        except ValueError as error:
            _common.leave(self, [str(error)])
        if not (days.is_integer() and 1 <= days <= _LONGEST):
            what = f"a whole number of days from 1d to {_LONGEST}d, such as 30d or 4w, forever, or default"
            _common.leave(self, [f"{given[:40]!r} must be {what}"])
        return int(days)
