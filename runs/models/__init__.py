"""Runs as rows: what was started, what happened at each step, what is to be done next, and what gave up."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import ClassVar

from django.contrib.auth import get_user_model
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import Case, F, Q, Value, When
from django.db.models.functions import Now
from uuid_utils.compat import uuid7

from runs.domain.states import (
    RUN_ENDED,
    RUN_LIVE,
    RUN_OUTCOMES,
    STEP_ENDED,
    DeadLetterState,
    Lane,
    Pause,
    RunState,
    StepState,
)
from runs.models.gates import Gate
from runs.models.interventions import Intervention, WorkflowIntervention
from runs.models.item_batches import ItemBatch
from runs.models.processes import Effect, Process
from runs.models.signals import Signal
from workflows.models import Version, Workflow, Workspace

__all__ = [
    "Approval",
    "DeadLetter",
    "Effect",
    "Gate",
    "Intervention",
    "ItemBatch",
    "Process",
    "Run",
    "Signal",
    "StepRun",
    "Ticket",
    "WorkflowIntervention",
]


def _values(states: Iterable[StrEnum]) -> list[str]:
    return sorted(state.value for state in states)


_QUEUED = Q(state=RunState.QUEUED.value)
_WAITS = Q(started_at__isnull=True, finished_at__isnull=True, paused_at__isnull=True)
_GATED = _WAITS & Q(gate__isnull=False)
# As runs.queries.lanes.lane says it.
_LANE = Case(
    When(paused_at__isnull=False, then=Value(Lane.PAUSED.value)),
    When(gate__isnull=False, then=Value(Lane.GATED.value)),
    default=Value(Lane.FREE.value),
)
_UNHAPPY = Q(state__in=_values(RUN_ENDED - {RunState.SUCCEEDED}))
# Step rows that are no part of the straight way: running, perhaps waiting, succeeded.
_STRAY = Q(state__in=_values(frozenset(StepState) - {StepState.RUNNING, StepState.WAITING, StepState.SUCCEEDED}))


class Run(models.Model):
    """One execution of a version. Written by runs.engine.record only."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    # Its version's workflow and workspace: the version's own foreign keys keep them. The version is kept by a trigger
    # of its own (migration 0026). Constraints here would look it up for each run, a third of what a start costs the
    # server where there are three; whoever inserts runs locks the version instead.
    workspace = models.ForeignKey(
        Workspace, on_delete=models.PROTECT, db_index=False, db_constraint=False, related_name="runs"
    )
    workflow = models.ForeignKey(
        Workflow, on_delete=models.PROTECT, db_index=False, db_constraint=False, related_name="runs"
    )
    version = models.ForeignKey(
        Version, on_delete=models.PROTECT, db_index=False, db_constraint=False, related_name="runs"
    )
    state = models.CharField(max_length=12, choices=[(s.value, s.value) for s in RunState])
    idempotency_key = models.CharField(max_length=255, null=True)
    # Through which door it came: api, admin, command, job, ...
    source = models.CharField(max_length=20)
    labels = models.JSONField(default=dict)
    input = models.JSONField()
    output = models.JSONField(null=True)
    error = models.JSONField(null=True)
    generation = models.PositiveSmallIntegerField(default=1)
    # A replay: the run that it repeats, and the steps that it begins with instead of the version's roots.
    replay_of = models.ForeignKey(
        "self", on_delete=models.SET_NULL, null=True, db_index=False, db_constraint=False, related_name="replays"
    )
    entry = ArrayField(models.TextField(), null=True)
    # Since when nothing is admitted, knocked or claimed, and whether it was the run or its workflow that was paused.
    # Left as it stands when the run ends.
    paused_at = models.DateTimeField(null=True)
    paused_through = models.CharField(max_length=8, null=True, choices=[(s.value, s.value) for s in Pause])
    # What the work came to, while the run still compensates or does what on_failure and finally say; else null.
    ending = models.CharField(max_length=12, null=True)
    # When a run fails that has not ended by then; null where its version sets no timeout.
    deadline = models.DateTimeField(null=True)
    # Higher ones are admitted first, within their workspace.
    priority = models.SmallIntegerField(db_default=0)
    # What the run shares a concurrency limit through; null where its version sets none.
    gate = models.ForeignKey(
        Gate, on_delete=models.SET_NULL, null=True, db_index=False, db_constraint=False, related_name="+"
    )
    # Admitted under a workspace's rate limit: what that limit counts.
    metered = models.BooleanField(db_default=False)
    # A sub-workflow: the step, item and attempt that started it. `depth` counts the runs above it.
    parent = models.ForeignKey("self", models.SET_NULL, null=True, db_index=False, db_constraint=False)
    parent_step = models.TextField(null=True)
    parent_item = models.IntegerField(null=True)
    parent_attempt = models.PositiveIntegerField(null=True)
    depth = models.PositiveSmallIntegerField(db_default=0)
    created_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["workflow", "idempotency_key"],
                condition=Q(idempotency_key__isnull=False),
                name="run_key_once",
            ),
            models.UniqueConstraint(
                fields=["parent", "parent_step", "parent_item", "parent_attempt"],
                condition=Q(parent__isnull=False),
                name="run_child_once",
            ),
            models.CheckConstraint(condition=Q(state__in=_values(RunState)), name="run_state_known"),
            models.CheckConstraint(
                condition=Q(state__in=_values(RUN_ENDED), finished_at__isnull=False)
                | (~Q(state__in=_values(RUN_ENDED)) & Q(finished_at__isnull=True)),
                name="run_ended_iff_finished_at",
            ),
            models.CheckConstraint(
                condition=Q(started_at__isnull=False) | Q(state__in=_values([RunState.QUEUED, RunState.CANCELLED])),
                name="run_started_unless_queued",
            ),
            models.CheckConstraint(
                condition=Q(paused_at__isnull=True, paused_through__isnull=True)
                | Q(paused_at__isnull=False, paused_through__in=_values(Pause)),
                name="run_paused_through_something",
            ),
            models.CheckConstraint(
                # A check that comes to NULL counts as met, hence the second look at ending.
                condition=Q(ending__isnull=True) & ~Q(state=RunState.COMPENSATING.value)
                | Q(ending__in=_values(RUN_OUTCOMES), state__in=["running", "waiting"])
                | Q(ending=RunState.FAILED.value, ending__isnull=False, state=RunState.COMPENSATING.value),
                name="run_ending_while_live",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["workflow", "id"], name="run_of_workflow"),
            models.Index(F("workspace"), _LANE, F("priority").desc(), F("id"), name="run_queued", condition=_QUEUED),
            # Whether any is queued; see runs.queries.lanes.
            models.Index(fields=["workspace"], name="run_backlog", condition=_WAITS & Q(gate__isnull=True)),
            models.Index(fields=["workspace"], name="run_backlog_gated", condition=_GATED),
            # Only runs with a gate, and those under a rate limit, pay for these.
            models.Index(F("gate"), F("priority").desc(), F("id"), name="run_gated", condition=_GATED),
            models.Index(
                fields=["gate"],
                name="run_in_gate",
                condition=Q(gate__isnull=False, started_at__isnull=False, finished_at__isnull=True),
            ),
            # What could come back to its gate.
            models.Index(
                fields=["gate"],
                name="run_back_to_gate",
                condition=Q(gate__isnull=False)
                & (Q(state=RunState.FAILED.value) | _QUEUED & Q(paused_at__isnull=False)),
            ),
            models.Index(
                fields=["workspace", "id"], name="run_child_queued", condition=_QUEUED & Q(parent__isnull=False)
            ),
            models.Index(fields=["workspace", "started_at"], name="run_metered", condition=Q(metered=True)),
            # Only paused runs pay for it.
            models.Index(fields=["workflow", "id"], name="run_paused", condition=Q(paused_at__isnull=False)),
            models.Index(
                fields=["workspace", "state", "id"],
                name="run_live",
                condition=Q(state__in=_values(RUN_LIVE)),
            ),
            models.Index(
                fields=["deadline"],
                name="run_deadline",
                condition=Q(
                    deadline__isnull=False,
                    ending__isnull=True,
                    paused_at__isnull=True,
                    state__in=["running", "waiting"],
                ),
            ),
            # Lists of what did not end well; a run that succeeds does not pay for them.
            models.Index(fields=["state", "workspace", "id"], name="run_unhappy", condition=_UNHAPPY),
            models.Index(fields=["workflow", "state", "id"], name="run_unhappy_of_workflow", condition=_UNHAPPY),
            # The admin's list by state, which is of all workspaces.
            models.Index(fields=["state", "id"], name="run_unhappy_of_all", condition=_UNHAPPY),
            # Only runs with labels pay for the search by label. With the workspace (extension btree_gin), for others
            # may have a million runs with the same label.
            GinIndex(fields=["workspace", "labels"], name="run_labelled", condition=~Q(labels={})),
        ]

    def __str__(self) -> str:
        return str(self.id)


class StepRun(models.Model):
    """What happened to one step (or one item of it) of one run. There is no row before something happens."""

    # The engine finds rows by (run, step, item); the id is for the admin, which knows no composite keys.
    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, db_index=False, db_constraint=False, related_name="steps")
    step = models.TextField()
    item = models.IntegerField(default=-1)
    state = models.CharField(max_length=12, choices=[(s.value, s.value) for s in StepState])
    attempt = models.PositiveIntegerField(default=1)
    # Attempts that did not succeed: number, outcome, error, times, process.
    attempts = models.JSONField(default=list)
    # The order of success in the run, for steps with a `compensate` only: they are undone the other way round.
    seq = models.PositiveIntegerField(null=True)
    process = models.UUIDField(null=True)
    deadline = models.DateTimeField(null=True)
    wake_at = models.DateTimeField(null=True)
    # What it waits for besides the moment, or waited for last; the key is what a sender may know instead of the run.
    signal = models.TextField(null=True)
    signal_key = models.TextField(null=True)
    # How many child runs a waiting step still waits for; at 0 it is due. A cancelled step keeps the number until
    # its children are cancelled, too.
    awaits = models.PositiveIntegerField(null=True)
    # A for_each: items begun and not ended, and how far it got; see runs.engine.for_each.
    open_items = models.PositiveIntegerField(null=True)
    progress = models.JSONField(null=True)
    # Stored only where it cannot be worked out: input when a human edited it, config when it has expressions.
    input = models.JSONField(null=True)
    config = models.JSONField(null=True)
    output = models.JSONField(null=True)
    error = models.JSONField(null=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["run", "step", "item"], name="step_run_once"),
            models.CheckConstraint(condition=Q(state__in=_values(StepState)), name="step_run_state_known"),
            models.CheckConstraint(
                condition=Q(state=StepState.RUNNING.value, process__isnull=False, deadline__isnull=False)
                | (~Q(state=StepState.RUNNING.value) & Q(process__isnull=True, deadline__isnull=True)),
                name="step_run_running_iff_leased",
            ),
            models.CheckConstraint(
                condition=Q(state__in=_values(STEP_ENDED), finished_at__isnull=False)
                | (~Q(state__in=_values(STEP_ENDED)) & Q(finished_at__isnull=True)),
                name="step_run_ended_iff_finished_at",
            ),
            models.CheckConstraint(
                condition=~Q(state="waiting", wake_at=None, signal=None, awaits=None, open_items=None),
                name="step_run_waiting_has_end",
            ),
        ]
        indexes: ClassVar = [
            # Few rows run at once, so that it serves deadlines as well.
            models.Index(fields=["process"], name="step_run_process", condition=Q(state=StepState.RUNNING.value)),
            models.Index(fields=["wake_at"], name="step_run_wake", condition=Q(state=StepState.WAITING.value)),
            models.Index(
                fields=["signal", "signal_key", "id"],
                name="step_run_signal",
                condition=Q(state=StepState.WAITING.value, signal__isnull=False),
            ),
            # The admin's list by state.
            models.Index(fields=["state", "id"], name="step_run_stray", condition=_STRAY),
            models.Index(fields=["id"], name="step_run_orphans", condition=Q(state="cancelled", awaits__gt=0)),
        ]

    def __str__(self) -> str:
        return f"{self.step} of {self.run_id}"


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


class DeadLetter(models.Model):
    """A step that used up its attempts and whose failure nothing handled."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+", db_index=False)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="dead_letters")
    # Of the run, which never changes them: so no list or count of letters has to look at the runs, which are many more.
    workflow = models.ForeignKey(
        Workflow, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    labels = models.JSONField(default=dict)
    step = models.TextField()
    item = models.IntegerField(default=-1)
    state = models.CharField(
        max_length=10,
        choices=[(s.value, s.value) for s in DeadLetterState],
        default=DeadLetterState.OPEN.value,
    )
    # failed, poison, timed_out, unrecordable
    reason = models.CharField(max_length=20)
    error = models.JSONField()
    input = models.JSONField(null=True)
    config = models.JSONField(null=True)
    attempts = models.JSONField(default=list)
    created_at = models.DateTimeField(db_default=Now())
    resolved_at = models.DateTimeField(null=True)
    resolved_by = models.ForeignKey(get_user_model(), on_delete=models.PROTECT, null=True, related_name="+")
    resolution = models.TextField(blank=True)
    # The workspace's alert workflow is still to be started for it.
    alert_due = models.BooleanField(default=False)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(state__in=_values(DeadLetterState)), name="dead_letter_state_known"),
            models.CheckConstraint(
                condition=Q(state=DeadLetterState.OPEN.value, resolved_at__isnull=True)
                | (~Q(state=DeadLetterState.OPEN.value) & Q(resolved_at__isnull=False)),
                name="dead_letter_resolved_iff_not_open",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["workspace", "state", "id"], name="dead_letter_list"),
            models.Index(fields=["workflow", "id"], name="dead_letter_of_workflow"),
            # For the metrics. Without an id, the entries that count together are folded into one.
            models.Index(
                fields=["workspace", "workflow", "reason"],
                name="dead_letter_open",
                condition=Q(state=DeadLetterState.OPEN.value),
            ),
            # Of all letters, unlike run_labelled: besides labels alone the planner knows how rare they are.
            GinIndex(fields=["workspace", "labels"], name="dead_letter_labelled"),
            models.Index(fields=["id"], name="dead_letter_alert_due", condition=Q(alert_due=True)),
        ]

    def __str__(self) -> str:
        return f"{self.step} of {self.run_id}: {self.reason}"


class Approval(StepRun):
    """A step that waits until somebody approves or rejects, as the admin lists them."""

    class Meta:
        proxy = True
        verbose_name = "waiting for approval"
        verbose_name_plural = "waiting for approval"
        default_permissions = ("view",)
