"""Who performs, and which effects are known to have been made, as rows."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now


class Process(models.Model):
    """The lease of one performing process. What it runs counts as lost once the lease has passed.

    There is no index on `expires_at`: the rows are few, and a beat then stays in its page and touches no index.
    """

    id = models.UUIDField(primary_key=True)
    host = models.TextField()
    pid = models.IntegerField()
    started_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "processes"

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"


class Effect(models.Model):
    """What one named effect of a step answered, so that a later attempt does not make it again."""

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(
        "runs.Run", on_delete=models.CASCADE, db_index=False, db_constraint=False, related_name="effects"
    )
    step = models.TextField()
    item = models.IntegerField(default=-1)
    name = models.TextField()
    # JSON's null is an answer, too.
    value = models.JSONField()
    at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["run", "step", "item", "name"], name="effect_once"),
        ]

    def __str__(self) -> str:
        return f"{self.name} of {self.step} of {self.run_id}"
