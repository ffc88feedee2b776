"""The variables of a workspace: named values that the expressions of its workflows' steps read as `vars.name`."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now

from workflows.models.workspaces import Workspace


class Variable(models.Model):
    """One value. Written by workflows.workspaces.variables, which says what names and values there may be."""

    class Kind(models.TextChoices):
        TEXT = "text", "text"
        NUMBER = "number", "number"
        BOOLEAN = "boolean", "true or false"
        JSON = "json", "list or object"

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="variables", db_index=False)
    name = models.CharField(max_length=64)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    value = models.JSONField()
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField("changed", db_default=Now(), editable=False)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["workspace", "name"], name="variable_once")]

    def __str__(self) -> str:
        return self.name
