"""Checkpoints of steps (`context.checkpoint`): how far an attempt got, for the next one and for people."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now


class Checkpoint(models.Model):
    """The last checkpoint of a step, or of an item of it."""

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(
        "runs.Run", on_delete=models.CASCADE, db_index=False, db_constraint=False, related_name="checkpoints"
    )
    step = models.TextField()
    item = models.IntegerField(default=-1)
    # The attempt that wrote it, and a hash of what it was performed for: another input is not resumed.
    attempt = models.IntegerField()
    basis = models.TextField()
    data = models.JSONField(null=True)
    done = models.BigIntegerField(null=True)
    failed = models.BigIntegerField(null=True)
    total = models.BigIntegerField(null=True)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["run", "step", "item"], name="checkpoint_once"),
        ]

    def __str__(self) -> str:
        return f"{self.step} of {self.run_id}"
