"""The list of a for_each as rows, one for each batch, so that no batch reads what the others hold."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class ItemBatch(models.Model):
    """Some items of one step's list. Written with the step's waiting row; `number` counts from 0."""

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey("runs.Run", models.CASCADE, db_index=False, db_constraint=False, related_name="+")
    step = models.TextField()
    number = models.IntegerField()
    items = models.JSONField()

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["run", "step", "number"], name="item_batch_once")]

    def __str__(self) -> str:
        return f"batch {self.number} of {self.step}"
