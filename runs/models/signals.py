"""Signals: messages from outside to a run."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.auth import get_user_model
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from uuid_utils.compat import uuid7

from workflows.models import Workspace


class Signal(models.Model):
    """A named message from outside to a run. Written by runs.control.signals and runs.engine.waits only.

    It is kept (`used_at` null) until a step waits for it. A signal that was sent by key has no run until then, and is
    deleted when it expires.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, db_index=False, related_name="+")
    run = models.ForeignKey(
        "runs.Run", on_delete=models.CASCADE, null=True, db_index=False, db_constraint=False, related_name="signals"
    )
    name = models.TextField()
    key = models.TextField(null=True)
    payload = models.JSONField(null=True)
    idempotency_key = models.CharField(max_length=255, null=True)
    by = models.ForeignKey(get_user_model(), on_delete=models.PROTECT, null=True, related_name="+", db_index=False)
    sent_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(null=True)
    # The step whose wait it ended.
    step = models.TextField(null=True)
    item = models.IntegerField(null=True)
    used_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["run", "idempotency_key"],
                condition=Q(idempotency_key__isnull=False, key__isnull=True),
                name="signal_once",
            ),
            models.CheckConstraint(
                condition=Q(used_at__isnull=True, step__isnull=True)
                | Q(used_at__isnull=False, step__isnull=False, run__isnull=False),
                name="signal_used_iff_step",
            ),
            models.CheckConstraint(
                condition=Q(run__isnull=False) | Q(key__isnull=False, expires_at__isnull=False),
                name="signal_has_run_or_key",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["run", "name"], name="signal_of_run"),
            models.Index(fields=["run"], name="signal_kept", condition=Q(used_at__isnull=True)),
            models.Index(fields=["name", "key"], name="signal_by_key", condition=Q(key__isnull=False)),
            models.Index(fields=["expires_at"], name="signal_expires", condition=Q(run__isnull=True)),
        ]

    def __str__(self) -> str:
        return f"{self.name} to {self.run_id or self.key}"
