"""The command that prints a version of a workflow as YAML."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db.models import F

from workflows.definitions.definition import Definition
from workflows.formats.export import export_yaml
from workflows.management.commands import _common
from workflows.models import Version


class Command(BaseCommand):
    help = "Print the current (or a chosen) version of a workflow as canonical YAML."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME")
        parser.add_argument("--number", type=int, help="the number of a version (default: the current one)")
        _common.add_workspace(parser)

    def handle(self, **options: Any) -> None:
        name, number = options["name"], options["number"]
        workspace = _common.find_workspace(self, options["workspace"])
        versions = Version.objects.filter(workflow__workspace=workspace, workflow__name=name)
        if number is None:
            version = versions.filter(workflow__current=F("id")).first()
        else:
            version = versions.filter(number=number).first()
        if version is None:
            which = "a published version" if number is None else f"version {number}"
            _common.leave(self, [f"there is no workflow {name!r} with {which} in workspace {workspace.name!r}"])
        self.stdout.write(export_yaml(Definition.model_validate(version.definition)), ending="")
