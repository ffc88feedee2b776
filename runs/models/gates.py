"""Gates: the rows under whose lock the runs of a concurrency limit are counted."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from workflows.models import Workflow


class Gate(models.Model):
    """One row for the runs of one workflow with the same concurrency key: the lock under which they are counted.

    The limit is the workflow's. A slot is a live run that is counted, so no slot can leak.
    """

    id = models.BigAutoField(primary_key=True)
    workflow = models.ForeignKey(Workflow, on_delete=models.CASCADE, db_index=False, related_name="+")
    # The value of the definition's `concurrency.key` expression; empty if it has none.
    key = models.CharField(max_length=255)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["workflow", "key"], name="gate_once")]

    def __str__(self) -> str:
        return self.key
