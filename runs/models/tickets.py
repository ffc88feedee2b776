"""Tickets: what is to be done next."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now

from runs.models.runs import Run


class Ticket(models.Model):
    """Somebody should work at this head of this run. Outbox, fence and retry timer in one row."""

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, db_index=False, db_constraint=False, related_name="tickets")
    head = models.TextField()
    item = models.IntegerField(default=-1)
    # A claim refuses before this time (a retry's delay).
    due_at = models.DateTimeField(db_default=Now())
    # The next time that a knock is sent for it.
    knock_at = models.DateTimeField(db_default=Now())
    # Knocks since the ticket was made, or was last handed back.
    sends = models.PositiveIntegerField(default=0)
    suspect = models.BooleanField(default=False)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["run", "head", "item"], name="ticket_once")]
        indexes: ClassVar = [models.Index(fields=["knock_at"], name="ticket_knock_at")]

    def __str__(self) -> str:
        return f"{self.head} of {self.run_id}"
