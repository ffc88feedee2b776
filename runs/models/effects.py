"""Results of named effects (`context.once`), so that a later attempt does not repeat them."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now


class Effect(models.Model):
    """The result of one named effect of a step, so that a later attempt does not repeat the effect."""

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(
        "runs.Run", on_delete=models.CASCADE, db_index=False, db_constraint=False, related_name="effects"
    )
    step = models.TextField()
    item = models.IntegerField(default=-1)
    name = models.TextField()
    # JSON's null is a result, too.
    value = models.JSONField()
    at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["run", "step", "item", "name"], name="effect_once"),
        ]

    def __str__(self) -> str:
        return f"{self.name} of {self.step} of {self.run_id}"
