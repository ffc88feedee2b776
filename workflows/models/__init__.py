"""The tables of definitions: workspaces, API tokens, workflows, the steps of their drafts, and frozen versions."""

from workflows.models.aliases import WorkflowAlias
from workflows.models.variables import Variable
from workflows.models.workflows import Step, Version, Workflow
from workflows.models.workspaces import ApiToken, Scope, Workspace

__all__ = ["ApiToken", "Scope", "Step", "Variable", "Version", "Workflow", "WorkflowAlias", "Workspace"]
