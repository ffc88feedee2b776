"""State: values under keys that the runs of a workflow, or of a workspace, share."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from workflows.models import Workflow, Workspace


class State(models.Model):
    """The value of one key. Written by the actions state_set and state_increment, in the transactions of their steps.

    `scope` is the id of the workflow, or, for a key of the whole workspace, that of the workspace.
    """

    id = models.BigAutoField(primary_key=True)
    # No constraints of foreign keys: to check them would lock the workspace for each new key.
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, db_constraint=False, related_name="+")
    workflow = models.ForeignKey(
        Workflow, on_delete=models.CASCADE, null=True, db_constraint=False, related_name="+", db_index=False
    )
    scope = models.UUIDField()
    key = models.CharField(max_length=200)
    value = models.JSONField()
    # From the sequence runs_state_version, so that a version never comes back, even if the key was deleted meanwhile.
    version = models.BigIntegerField()
    expires_at = models.DateTimeField(null=True)
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["scope", "key"], name="state_once")]
        indexes: ClassVar = [
            models.Index(fields=["expires_at"], name="state_expires", condition=Q(expires_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return self.key
