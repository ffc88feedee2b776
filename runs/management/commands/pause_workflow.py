"""Pause a workflow by hand."""

from __future__ import annotations

from runs.control import pauses
from runs.domain.actor import Actor
from runs.management.commands._over_workflow import OverWorkflow
from workflows.models import Workflow


class Command(OverWorkflow):
    help = (
        "Hold a workflow's runs, and those that are started from now on. "
        "Again is a no-op. Exit status: 0 done, 2 bad input."
    )
    done = "paused"

    def verb(self, workflow: Workflow, *, actor: Actor) -> int:
        return pauses.pause_workflow(workflow, actor=actor)
