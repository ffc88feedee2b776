"""Forget old runs by hand."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from actions.durations import seconds_with_unit
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
        parser.add_argument("--older-than", required=True, metavar="30d", help="since their end, as 30d, 4w, 12h")
        parser.add_argument("--workflow", metavar="NAME", help="of this workflow only (default: of all, jobs included)")
        parser.add_argument("--dry-run", action="store_true", help="only count them")
        _common.add_yes(parser)
        _common.add_workspace(parser)

    def handle(self, **options: Any) -> None:
        """A line of progress now and then, and one for each workflow."""
        try:
            age = seconds_with_unit(options["older_than"])
        except ValueError as error:
            _common.leave(self, [f"--older-than: {error}"])
        workspace = _common.find_workspace(self, options["workspace"])
        if options["workflow"] is not None:
            chosen = [_common.find_workflow(self, options["workflow"], workspace=workspace)]
        else:
            chosen = list(Workflow.objects.filter(workspace=workspace).order_by("name"))
        given, dry = options["older_than"], options["dry_run"]
        if not dry:
            self._ask(chosen, age=age, given=given, yes=options["yes"])
        for workflow in chosen:
            self._prune(workflow, age=age, given=given, dry=dry)

    def _ask(self, chosen: Sequence[Workflow], *, age: float, given: str, yes: bool) -> None:
        """Say how many runs of which workflows are about to be deleted, and ask."""
        counts = {
            one.name: sum(batch.runs for batch in retention.prune(Policy(one.pk, one.name, age), dry=True))
            for one in chosen
        }
        before = (datetime.now(UTC) - timedelta(seconds=age)).isoformat(sep=" ", timespec="seconds")
        of = ", ".join(f"{name} ({count})" for name, count in counts.items() if count)
        total = sum(counts.values())
        if total:
            what = f"{total} runs that ended more than {given} ago (before {before}) are to be deleted for good: {of}"
            _common.confirm(self, what, yes=yes)

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
