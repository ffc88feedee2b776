"""The leases of performing processes."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class Process(models.Model):
    """The lease of one performing process. What it runs counts as lost once the lease has passed.

    There is no index on `expires_at`: the rows are few, and a beat then stays in its page and touches no index.
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
