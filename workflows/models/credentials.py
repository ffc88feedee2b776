"""The table of credentials."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now
from uuid_utils.compat import uuid7

from workflows.models.workspaces import Workspace


class Credential(models.Model):
    """A secret of a workspace under a name. Its values are encrypted, and are never shown again.

    `sealed` are the values, encrypted by the key `key_id` (workflows.credentials.encryption). `fields` are their names.
    `token` is an access token that they were exchanged for, sealed in the same way; while `renewing_until` is ahead,
    one process fetches the next one.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="credentials", db_index=False)
    name = models.CharField(max_length=64)
    kind = models.CharField(max_length=40)
    hosts = ArrayField(models.CharField(max_length=260), default=list, blank=True)
    fields = ArrayField(models.CharField(max_length=64), default=list)
    # So many uses in so many seconds, across all workers; empty: no limit.
    requests = models.CharField(max_length=20, blank=True, default="")
    key_id = models.CharField(max_length=16)
    sealed = models.BinaryField()
    token = models.BinaryField(null=True)
    token_key_id = models.CharField(max_length=16, blank=True, default="")
    token_expires_at = models.DateTimeField(null=True)
    renewing_until = models.DateTimeField(null=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    changed_at = models.DateTimeField(db_default=Now(), editable=False)
    # Written at most every ten seconds by each process: see workflows.credentials.uses.
    last_used_at = models.DateTimeField(null=True, editable=False)
    uses = models.BigIntegerField(default=0, editable=False)
    # Uses that were handed out in the second, or longer, that began then: see workflows.credentials.rates.
    rate_began_at = models.DateTimeField(null=True)
    rate_taken = models.IntegerField(default=0)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["workspace", "name"], name="credential_name_once")]
        permissions: ClassVar = [("use_credential", "Can publish workflows that use credentials")]

    def __str__(self) -> str:
        return self.name
