"""Dead letters: steps, and runs themselves, that have failed for good and need a human decision."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.auth import get_user_model
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from uuid_utils.compat import uuid7

from runs.domain.states import (
    DeadLetterState,
    values,
)
from runs.models.runs import Run
from workflows.models import Workflow, Workspace


class DeadLetter(models.Model):
    """A step whose attempts are used up and whose failure nothing handled; or a run that failed without such a step."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+", db_index=False)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="dead_letters")
    # Copied from the run, where it never changes. So lists and counts of dead letters need not read the runs, which are
    # many more.
    workflow = models.ForeignKey(
        Workflow, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    labels = models.JSONField(default=dict)
    # Empty for a dead letter of the run itself, which failed without a failed step.
    step = models.TextField()
    item = models.IntegerField(default=-1)
    state = models.CharField(
        max_length=10,
        choices=[(s.value, s.value) for s in DeadLetterState],
        default=DeadLetterState.OPEN.value,
    )
    # failed, poison, timed_out, unrecordable, compensation; of the run itself: output, run_timed_out
    reason = models.CharField(max_length=20)
    error = models.JSONField()
    input = models.JSONField(null=True)
    config = models.JSONField(null=True)
    attempts = models.JSONField(default=list)
    created_at = models.DateTimeField(db_default=Now())
    resolved_at = models.DateTimeField(null=True)
    resolved_by = models.ForeignKey(get_user_model(), on_delete=models.PROTECT, null=True, related_name="+")
    resolution = models.TextField(blank=True)
    # Whether the workspace's alert workflow must still be started for it.
    alert_due = models.BooleanField(default=False)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(state__in=values(DeadLetterState)), name="dead_letter_state_known"),
            models.CheckConstraint(
                condition=Q(state=DeadLetterState.OPEN.value, resolved_at__isnull=True)
                | (~Q(state=DeadLetterState.OPEN.value) & Q(resolved_at__isnull=False)),
                name="dead_letter_resolved_iff_not_open",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["workspace", "state", "id"], name="dead_letter_list"),
            models.Index(fields=["workflow", "id"], name="dead_letter_of_workflow"),
            # For the metrics. Without an id, so that PostgreSQL deduplicates entries that are counted together.
            models.Index(
                fields=["workspace", "workflow", "reason"],
                name="dead_letter_open",
                condition=Q(state=DeadLetterState.OPEN.value),
            ),
            # Not limited to rows with labels, as run_labelled is: with such a condition, the planner cannot tell how
            # rare a label is.
            GinIndex(fields=["workspace", "labels"], name="dead_letter_labelled"),
            models.Index(fields=["id"], name="dead_letter_alert_due", condition=Q(alert_due=True)),
        ]

    def __str__(self) -> str:
        return f"{self.place} of {self.run_id}: {self.reason}"

    @property
    def place(self) -> str:
        """What failed, for people: the step, or the run itself."""
        return self.step or "the run itself"
