"""The command that sets, deletes or lists the variables of a workspace."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from actions import payload
from actions.base import Json
from actions.payload import PayloadError
from workflows.management.commands import _common
from workflows.models import Variable, Workspace
from workflows.workspaces import variables
from workflows.workspaces.variables import NotAVariable


class Command(BaseCommand):
    help = (
        "Set a variable of a workspace, which steps read as vars.NAME; --delete deletes it; without a name, print all. "
        "Exit status: 0 done, 2 bad input."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", nargs="?", help="name of the variable")
        parser.add_argument("value", nargs="?", help="its value: a text, or JSON of another kind with --kind")
        parser.add_argument("--kind", default="text", choices=Variable.Kind.values, help="of the value (default: text)")
        parser.add_argument("--delete", action="store_true", help="delete the variable")
        _common.add_workspace(parser)

    def handle(self, **options: Any) -> None:
        workspace = _common.find_workspace(self, options["workspace"])
        name, value = options["name"], options["value"]
        if name is None:
            for row in Variable.objects.filter(workspace=workspace).order_by("name"):
                self.stdout.write(f"{row.name}  {row.kind}  {payload.dumps(row.value)}")
        elif options["delete"]:
            if not variables.delete(workspace, name):
                _common.leave(self, [f"workspace {workspace.name!r} has no variable {name[:70]!r}"])
            self.stdout.write(f"deleted {name}")
        elif value is None:
            _common.leave(self, ["give the value, too: manage.py set_variable region eu-central; or --delete"])
        else:
            self._put(workspace, name, value, kind=options["kind"])

    def _put(self, workspace: Workspace, name: str, value: str, *, kind: str) -> None:
        try:
            given: Json = value if kind == Variable.Kind.TEXT else payload.loads(value)
            row, created = variables.put(workspace, name, given, kind=kind)
        except (NotAVariable, PayloadError) as error:
            _common.leave(self, [f"{getattr(error, 'field', 'value')}: {error}"])
        self.stdout.write(f"{'set' if created else 'changed'} {row.name}  {row.kind}  {payload.dumps(row.value)}")
