"""The tables of definitions: workspaces, API tokens, workflows, the steps of their drafts, and frozen versions."""

from workflows.models.workflows import Step, Version, Workflow
from workflows.models.workspaces import ApiToken, Workspace

__all__ = ["ApiToken", "Step", "Version", "Workflow", "Workspace"]
