"""Names that workflows had before they were renamed."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from workflows.models.workflows import Workflow
from workflows.models.workspaces import Workspace


class WorkflowAlias(models.Model):
    """An old name of a workflow, which goes on meaning it until another workflow takes the name."""

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+", db_index=False)
    name = models.CharField(max_length=100)
    workflow = models.ForeignKey(Workflow, on_delete=models.CASCADE, related_name="aliases")

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["workspace", "name"], name="workflow_alias_once")]

    def __str__(self) -> str:
        return self.name
