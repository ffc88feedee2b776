"""A command that does one verb to a workflow as a whole, with a reason."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from django.core.management.base import BaseCommand, CommandParser

from runs.control.verbs import Verb
from runs.domain.actor import Actor
from runs.management.commands import _by_hand
from workflows.management.commands import _common
from workflows.models import Workflow


class OverWorkflow(ABC, BaseCommand):
    """`control_verb` is the verb of the catalogue."""

    control_verb: ClassVar[Verb]

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME")
        _by_hand.add_why(parser)
        _common.add_workspace(parser)

    def handle(self, **options: Any) -> None:
        actor = _by_hand.actor(self, options["why"], by=options["by"])
        workspace = _common.find_workspace(self, options["workspace"])
        workflow = _common.find_workflow(self, options["name"], workspace=workspace)
        count = self.verb(workflow, actor=actor)
        self.stdout.write(
            f"{workflow.name}  {self.control_verb.past}, {count} {'run' if count == 1 else 'runs'} with it"
        )

    @abstractmethod
    def verb(self, workflow: Workflow, *, actor: Actor) -> int:
        """Do it, and return how many runs it changed."""
