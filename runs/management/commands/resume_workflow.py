"""Resume a workflow by hand."""

from __future__ import annotations

from runs.control import pauses
from runs.domain.actor import Actor
from runs.management.commands._over_workflow import OverWorkflow
from workflows.models import Workflow


class Command(OverWorkflow):
    help = (
        "Let a paused workflow's runs go on, but for those that were paused themselves. "
        "Again is a no-op. Exit status: 0 done, 2 bad input."
    )
    done = "resumed"

    def verb(self, workflow: Workflow, *, actor: Actor) -> int:
        return pauses.resume_workflow(workflow, actor=actor)
