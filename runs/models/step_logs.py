"""Log lines of steps (`context.log`, the action `log`), one row for each step that logs."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class StepLog(models.Model):
    """The first log lines of a step, or of an item of it, over all its attempts; later ones are only counted."""

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(
        "runs.Run", on_delete=models.CASCADE, db_index=False, db_constraint=False, related_name="step_logs"
    )
    step = models.TextField()
    item = models.IntegerField(default=-1)
    # Objects: at, attempt, level, message, and fields if there are any. `size` is about their length in bytes.
    lines = models.JSONField(default=list)
    count = models.IntegerField(default=0)
    size = models.IntegerField(default=0)
    dropped = models.BigIntegerField(default=0)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["run", "step", "item"], name="step_log_once"),
        ]

    def __str__(self) -> str:
        return f"log of {self.step} of {self.run_id}"
