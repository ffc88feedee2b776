"""The command that chooses which workflow is started for every dead letter of a workspace."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandParser

from workflows.definitions.errors import nearest
from workflows.management.commands import _common
from workflows.models import Workflow


class Command(BaseCommand):
    help = "Choose the workflow that is started for every dead letter of a workspace; with --none there are no alerts."

    def add_arguments(self, parser: CommandParser) -> None:
        chosen = parser.add_mutually_exclusive_group(required=True)
        chosen.add_argument("workflow", nargs="?", metavar="NAME")
        chosen.add_argument("--none", action="store_true", help="start no workflow for dead letters any more")
        _common.add_workspace(parser)

    def handle(self, **options: Any) -> None:
        workspace = _common.find_workspace(self, options["workspace"])
        workspace.alert_workflow = None
        if not options["none"]:
            named = Workflow.objects.filter(workspace=workspace)
            workspace.alert_workflow = named.filter(name=options["workflow"]).first()
            if workspace.alert_workflow is None:
                hint = nearest(options["workflow"], named.values_list("name", flat=True))
                _common.leave(self, [f"there is no workflow {options['workflow']!r} in {workspace.name!r}{hint}"])
        try:
            workspace.full_clean()
        except ValidationError as error:
            _common.leave(self, error.messages)
        workspace.save()
        self.stdout.write(f"{workspace.name}: {workspace.alert_workflow or 'nobody is told of dead letters'}")
