"""The tables of definitions: workspaces, tokens, credentials, workflows, the steps of their drafts, frozen versions."""

from workflows.models.aliases import WorkflowAlias
from workflows.models.credentials import Credential
from workflows.models.workflows import Step, Version, Workflow
from workflows.models.workspaces import ApiToken, Scope, Workspace

__all__ = ["ApiToken", "Credential", "Scope", "Step", "Version", "Workflow", "WorkflowAlias", "Workspace"]
