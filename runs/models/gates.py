"""What a concurrency limit is counted under."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from workflows.models import Workflow


class Gate(models.Model):
    """What runs of one workflow with the same concurrency key pass through: the lock under which they are counted.

    The limit is the workflow's. A slot is a live run, so there is nothing here that could leak.
    """

    id = models.BigAutoField(primary_key=True)
    workflow = models.ForeignKey(Workflow, on_delete=models.CASCADE, db_index=False, related_name="+")
    # What the definition's `concurrency.key` came to; empty where it has none.
    key = models.CharField(max_length=255)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["workflow", "key"], name="gate_once")]

    def __str__(self) -> str:
        return self.key
