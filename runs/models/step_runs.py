"""Step runs: the state, the attempts and the result of each step of a run."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import F, Func, Q

from runs.domain.states import (
    StepState,
    values,
)
from runs.models.runs import Run

# Which values go together, see runs.models.runs. A call of the function costs more than these four conditions, which
# most rows meet.
_SUCCEEDED = Q(state=StepState.SUCCEEDED.value, finished_at__isnull=False, process__isnull=True, deadline__isnull=True)
_CONSISTENT = Func(
    *map(F, ["state", "finished_at", "process", "deadline", "wake_at", "signal", "awaits", "open_items"]),
    function="runs_step_run_is_consistent",
    output_field=models.BooleanField(),
)

# Step rows in any state other than those of a step that goes well: running, waiting, succeeded.
_STRAY = Q(state__in=values(frozenset(StepState) - {StepState.RUNNING, StepState.WAITING, StepState.SUCCEEDED}))


class StepRun(models.Model):
    """The state and result of one step of one run, or of one item of it. A step that was not tried yet has no row."""

    # The engine finds rows by (run, step, item). The id is for the admin, which does not support composite keys.
    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, db_index=False, db_constraint=False, related_name="steps")
    step = models.TextField()
    item = models.IntegerField(default=-1)
    state = models.CharField(max_length=12, choices=[(s.value, s.value) for s in StepState])
    attempt = models.IntegerField(default=1)
    # Attempts that did not succeed: number, outcome, error, times, process.
    attempts = models.JSONField(default=list)
    # Only for steps with a `compensate`: the order of their successes in the run. They are compensated in reverse.
    seq = models.IntegerField(null=True)
    process = models.UUIDField(null=True)
    deadline = models.DateTimeField(null=True)
    wake_at = models.DateTimeField(null=True)
    # The signal that it waits for, or waited for last. A sender can give the key instead of the run.
    signal = models.TextField(null=True)
    signal_key = models.TextField(null=True)
    # The number of sub-workflow runs that a waiting step still waits for; at 0 it is due. A cancelled step keeps the
    # number until those runs are cancelled, too.
    awaits = models.IntegerField(null=True)
    # Of a for_each: the number of items that are open, and how far it got; see runs.engine.for_each.
    open_items = models.IntegerField(null=True)
    progress = models.JSONField(null=True)
    # Stored only if they cannot be derived: the input if it was edited by hand, the config if it has expressions.
    input = models.JSONField(null=True)
    config = models.JSONField(null=True)
    output = models.JSONField(null=True)
    error = models.JSONField(null=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["run", "step", "item"], name="step_run_once"),
            models.CheckConstraint(condition=_SUCCEEDED | Q(_CONSISTENT), name="step_run_is_consistent"),
        ]
        indexes: ClassVar = [
            # Few rows are running at once, so that this index serves queries by deadline as well.
            models.Index(fields=["process"], name="step_run_process", condition=Q(state=StepState.RUNNING.value)),
            models.Index(fields=["wake_at"], name="step_run_wake", condition=Q(state=StepState.WAITING.value)),
            models.Index(
                fields=["signal", "signal_key", "id"],
                name="step_run_signal",
                condition=Q(state=StepState.WAITING.value, signal__isnull=False),
            ),
            # For the admin's list by state.
            models.Index(fields=["state", "id"], name="step_run_stray", condition=_STRAY),
            models.Index(fields=["id"], name="step_run_orphans", condition=Q(state="cancelled", awaits__gt=0)),
        ]

    def __str__(self) -> str:
        return f"{self.step} of {self.run_id}"


class Approval(StepRun):
    """A step that waits for an approval: the rows of the admin's list of approvals."""

    class Meta:
        proxy = True
        verbose_name = "waiting for approval"
        verbose_name_plural = "waiting for approval"
        default_permissions = ("view",)
