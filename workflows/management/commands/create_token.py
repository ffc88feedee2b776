"""The command that creates an API token and prints it."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from workflows.management.commands import _common
from workflows.workspaces import tokens


class Command(BaseCommand):
    help = "Create an API token for a user in a workspace and print it. It cannot be shown again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME", help="what the token is for")
        parser.add_argument("--user", default="admin", help="whose token it is (default: admin)")
        _common.add_workspace(parser)

    def handle(self, **options: Any) -> None:
        workspace = _common.find_workspace(self, options["workspace"])
        user = _common.find_user(self, options["user"])
        if not 1 <= len(options["name"]) <= 100:
            _common.leave(self, ["NAME: must have 1 to 100 characters"])
        self.stdout.write(tokens.issue(workspace, user, options["name"])[1])
