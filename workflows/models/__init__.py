"""Definitions as rows: workspaces, workflows, their editable steps, their frozen versions, and API tokens."""

from workflows.models.workflows import Step, Version, Workflow
from workflows.models.workspaces import ApiToken, Workspace

__all__ = ["ApiToken", "Step", "Version", "Workflow", "Workspace"]
