"""Tickets: the steps that are to be performed next."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now

from runs.models.runs import Run


class Ticket(models.Model):
    """A step of a run that is to be performed; `head` is its id.

    One row is the outbox of the step's message, the fence of its record, and the timer of its retry.
    """

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, db_index=False, db_constraint=False, related_name="tickets")
    head = models.TextField()
    item = models.IntegerField(default=-1)
    # No claim or record accepts the ticket before this time, for example during a retry's delay.
    due_at = models.DateTimeField(db_default=Now())
    # The time at which the next message is sent for it.
    knock_at = models.DateTimeField(db_default=Now())
    # The number of messages sent since the ticket was made, or was last handed back.
    sends = models.IntegerField(default=0)
    suspect = models.BooleanField(default=False)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["run", "head", "item"], name="ticket_once")]
        indexes: ClassVar = [
            models.Index(fields=["knock_at"], name="ticket_knock_at"),
            # Few tickets ever are; the others are not in this index.
            models.Index(
                fields=["knock_at"], name="ticket_suspect", condition=models.Q(suspect=True) | models.Q(sends__gte=3)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.head} of {self.run_id}"
