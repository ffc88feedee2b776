"""Named effects of steps, so that an attempt does not make them twice."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now


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
