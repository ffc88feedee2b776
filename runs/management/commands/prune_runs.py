"""Forget old runs by hand."""

from __future__ import annotations

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from actions.durations import seconds
from runs.maintenance import retention
from runs.maintenance.retention import Policy
from workflows.management.commands import _common
from workflows.models import Workflow


class Command(BaseCommand):
    help = (
        "Delete runs that ended longer ago than that, with all their rows, in small bites beside what is live. Kept "
        "are runs with open dead letters, and those below or above a live one. Exit status: 0 done, 2 bad input."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--older-than", required=True, metavar="30d", help="since their end, as 30d, 12h, 90m")
        parser.add_argument("--workflow", metavar="NAME", help="of this workflow only (default: of all, jobs included)")
        parser.add_argument("--dry-run", action="store_true", help="only count them")
        _common.add_workspace(parser)

    def handle(self, **options: Any) -> None:
        """A line of progress now and then, and one for each workflow."""
        try:
            age = seconds(options["older_than"])
        except ValueError as error:
            _common.leave(self, [f"--older-than: {error}"])
        workspace = _common.find_workspace(self, options["workspace"])
        if options["workflow"] is not None:
            chosen = [_common.find_workflow(self, options["workflow"], workspace=workspace)]
        else:
            chosen = list(Workflow.objects.filter(workspace=workspace).order_by("name"))
        for workflow in chosen:
            self._prune(workflow, age=age, given=options["older_than"], dry=options["dry_run"])

    def _prune(self, workflow: Workflow, *, age: float, given: str, dry: bool) -> None:
        count, told = 0, time.monotonic()
        for batch in retention.prune(Policy(workflow.pk, workflow.name, age), dry=dry):
            count += batch.runs
            if time.monotonic() - told >= 5.0:
                told = time.monotonic()
                self.stdout.write(f"{workflow.name}  {count} so far")
            time.sleep(0 if dry else retention.rest(batch))
        if count and not dry:
            retention.tell(workflow.pk, why=f"{count} runs that ended more than {given} ago")
        self.stdout.write(f"{workflow.name}  {count} runs {'would be ' if dry else ''}deleted")
