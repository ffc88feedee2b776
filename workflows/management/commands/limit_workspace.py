"""The command that sets or shows a workspace's limits on concurrent runs and runs per minute."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from workflows.management.commands import _common

_LARGEST = 2**31 - 1


class Command(BaseCommand):
    help = "Set a workspace's limits and print them. A limit not given is unchanged. Exit status: 0 done, 2 bad input."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--concurrent-runs", metavar="N|none", help="how many runs may be running at once")
        parser.add_argument("--runs-per-minute", metavar="N|none", help="how many runs may begin within any minute")
        _common.add_workspace(parser)

    def handle(self, **options: Any) -> None:
        workspace = _common.find_workspace(self, options["workspace"])
        if (given := options["concurrent_runs"]) is not None:
            workspace.concurrent_runs = self._number(given, name="--concurrent-runs")
        if (given := options["runs_per_minute"]) is not None:
            workspace.runs_per_minute = self._number(given, name="--runs-per-minute")
        workspace.save(update_fields=["concurrent_runs", "runs_per_minute"])
        for name, limit in (
            ("concurrent runs", workspace.concurrent_runs),
            ("runs per minute", workspace.runs_per_minute),
        ):
            self.stdout.write(f"{workspace.name}  {name}  {'no limit' if limit is None else limit}")

    def _number(self, given: str, *, name: str) -> int | None:
        if given == "none":
            return None
        if not (given.isascii() and given.isdigit() and 1 <= int(given) <= _LARGEST):
            _common.leave(self, [f"{name}: {given[:40]!r} must be a whole number from 1 on, or none"])
        return int(given)
