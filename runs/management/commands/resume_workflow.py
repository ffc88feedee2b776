"""Resume a workflow by hand."""

from __future__ import annotations

from runs.control import pauses, verbs
from runs.domain.actor import Actor
from runs.management.commands._over_workflow import OverWorkflow
from workflows.models import Workflow


class Command(OverWorkflow):
    control_verb = verbs.RESUME_WORKFLOW
    help = f"{verbs.RESUME_WORKFLOW.does} Again is a no-op. Exit status: 0 done, 2 bad input."

    def verb(self, workflow: Workflow, *, actor: Actor) -> int:
        return pauses.resume_workflow(workflow, actor=actor)
