"""The command that publishes workflows from YAML or JSON files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandParser

from workflows.definitions.errors import DefinitionError
from workflows.formats import parse
from workflows.management.commands import _common
from workflows.models import Workspace
from workflows.publishing.publish import Published, publish


class Command(BaseCommand):
    help = "Publish workflows from files. Exit status 2 if one is refused; the others are loaded."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("files", nargs="+", metavar="FILE")
        _common.add_workspace(parser)
        _common.add_owner(parser)

    def handle(self, **options: Any) -> None:
        workspace = _common.find_workspace(self, options["workspace"])
        owner = _common.find_user(self, options["owner"])
        loaded = [self._load(Path(file), workspace=workspace, owner=owner) for file in options["files"]]
        if not all(loaded):
            sys.exit(_common.BAD_INPUT)

    def _load(self, file: Path, *, workspace: Workspace, owner: User) -> bool:
        """Publish one file and print the version, or print what is wrong with the file and return False."""
        try:
            with file.open("rb") as opened:
                # One byte more than permitted, so that parse.load refuses a larger file without all of it being read.
                source = parse.load(opened.read(parse.MAX_BYTES + 1))
        except OSError as error:
            self.stderr.write(f"{file}: cannot be read: {error.strerror}")
            return False
        except DefinitionError as error:
            return self._refused(file, error)
        try:
            published = publish(source.document, workspace=workspace, owner=owner, name=file.stem)
        except DefinitionError as error:
            return self._refused(file, source.locate(error))
        self.stdout.write(_line(published, warnings=(*source.warnings, *published.warnings)))
        return True

    def _refused(self, file: Path, error: DefinitionError) -> bool:
        for problem in error.problems:
            self.stderr.write(f"{file}: {' '.join(str(problem).splitlines())}")
        return False


def _line(published: Published, *, warnings: tuple[str, ...]) -> str:
    done = "created" if published.version_created else "unchanged"
    told = "".join(f"; {warning}" for warning in warnings)
    return f"{published.workflow.name} {published.version} {done}{told}"
