"""The list of a for_each step, one row for each batch, so that a batch is read without the others."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class ItemBatch(models.Model):
    """One batch of a for_each step's list, written in the transaction that lets the step wait. `number` is from 0."""

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey("runs.Run", models.CASCADE, db_index=False, db_constraint=False, related_name="+")
    step = models.TextField()
    number = models.IntegerField()
    items = models.JSONField()

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["run", "step", "number"], name="item_batch_once")]

    def __str__(self) -> str:
        return f"batch {self.number} of {self.step}"
