"""Process leases: one row for each process that performs steps."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class Process(models.Model):
    """The lease of one process that performs steps. Its running steps count as lost once the lease has expired.

    There is no index on `expires_at`: the rows are few, and so a renewal is a HOT update, which writes to no index.
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
