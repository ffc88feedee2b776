"""The command that creates an API token and prints it."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from workflows.management.commands import _common
from workflows.models import Scope
from workflows.workspaces import tokens

# A hundred years; an end beyond the year 9999 cannot be stored.
_MOST_DAYS = 36_500


class Command(BaseCommand):
    help = "Create an API token for a user in a workspace and print it. It cannot be shown again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME", help="what the token is for")
        parser.add_argument("--user", default="admin", help="whose token it is (default: admin)")
        parser.add_argument(
            "--scope",
            action="append",
            choices=Scope.values,
            help="what the token may be used for; may be given several times (default: all but admin)",
        )
        parser.add_argument(
            "--days",
            type=int,
            default=tokens.LIFETIME_DAYS,
            help=f"after how many days it ends, 1 to {_MOST_DAYS} (default: {tokens.LIFETIME_DAYS})",
        )
        parser.add_argument("--never-ends", action="store_true", help="it is valid until it is deleted")
        _common.add_workspace(parser)

    def handle(self, **options: Any) -> None:
        workspace = _common.find_workspace(self, options["workspace"])
        user = _common.find_user(self, options["user"])
        if not 1 <= len(options["name"]) <= 100:
            _common.leave(self, ["NAME: must have 1 to 100 characters"])
        if not 1 <= options["days"] <= _MOST_DAYS:
            _common.leave(self, [f"--days: must be 1 to {_MOST_DAYS}; use --never-ends for a token without an end"])
        days = None if options["never_ends"] else options["days"]
        _, plaintext = tokens.issue(workspace, user, options["name"], scopes=set(options["scope"] or ()), days=days)
        self.stdout.write(plaintext)
