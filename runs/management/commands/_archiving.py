"""A command that archives, restores or deletes one workflow, with a reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from django.core.management.base import BaseCommand, CommandParser

from runs.control.archives import CannotArchive
from runs.control.verbs import Verb
from runs.management.commands import _by_hand
from workflows.management.commands import _common


class Archiving(BaseCommand):
    """`control_verb` is the verb of the catalogue, `verb` its function."""

    control_verb: ClassVar[Verb]
    verb: ClassVar[Callable[..., str]]

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME|ID", help="an archived workflow is found by its id, or its old name")
        _by_hand.add_why(parser)
        _common.add_workspace(parser)
        if self.control_verb.dangerous:
            _common.add_yes(parser)

    def handle(self, **options: Any) -> None:
        actor = _by_hand.actor(self, options["why"], by=options["by"])
        workspace = _common.find_workspace(self, options["workspace"])
        workflow = _common.find_any_workflow(self, options["name"], workspace=workspace)
        if self.control_verb.dangerous:
            _common.confirm(self, f"This deletes the workflow {workflow.name!r} for good.", yes=options["yes"])
        try:
            self.stdout.write(self.verb(workflow, actor=actor))
        except CannotArchive as refusal:
            _common.leave(self, [refusal], status=1)
