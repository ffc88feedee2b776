"""The table of runs."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import Case, F, Func, Q, Value, When
from django.db.models.functions import Now
from uuid_utils.compat import uuid7

from runs.domain.states import (
    RUN_ENDED,
    RUN_LIVE,
    Lane,
    Pause,
    RunState,
    values,
)
from runs.models.gates import Gate
from workflows.models import Version, Workflow, Workspace

# Which values go together: the states that are known, what has ended has a time of its end, and so on. Each rule has a
# name, which a refused row is told with: runs/migrations/0028_rules_in_functions.py. PostgreSQL reads the text of CHECK
# constraints for each statement anew, and that of a function once; so the rules of a table are one function.
_CONSISTENT = Func(
    *map(F, ["state", "ending", "started_at", "finished_at", "paused_at", "paused_through"]),
    function="runs_run_is_consistent",
    output_field=models.BooleanField(),
)

_QUEUED = Q(state=RunState.QUEUED.value)

_WAITS = Q(started_at__isnull=True, finished_at__isnull=True, paused_at__isnull=True)

_GATED = _WAITS & Q(gate__isnull=False)

# The same expression as runs.queries.lanes.lane.
_LANE = Case(
    When(paused_at__isnull=False, then=Value(Lane.PAUSED.value)),
    When(gate__isnull=False, then=Value(Lane.GATED.value)),
    default=Value(Lane.FREE.value),
)

_UNHAPPY = Q(state__in=values(RUN_ENDED - {RunState.SUCCEEDED}))


class Run(models.Model):
    """One execution of a version. Written by runs.engine.record only."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    # No foreign key constraints on these three. Workspace and workflow are those of the version, whose own foreign keys
    # protect them; a trigger protects the version (migration 0026). Three constraints would be checked for each run,
    # and that was a third of the server's cost of a start. Statements that insert runs lock the version instead.
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
    # The door that started it: api, admin, command, job, ...
    source = models.CharField(max_length=20)
    labels = models.JSONField(default=dict)
    input = models.JSONField()
    output = models.JSONField(null=True)
    error = models.JSONField(null=True)
    generation = models.SmallIntegerField(default=1)
    # Of a replay: the run that it repeats, and the steps that it begins with instead of the version's first steps.
    replay_of = models.ForeignKey(
        "self", on_delete=models.SET_NULL, null=True, db_index=False, db_constraint=False, related_name="replays"
    )
    entry = ArrayField(models.TextField(), null=True)
    # Since when the run is paused (not admitted, no messages, no claims), and whether the run itself or its workflow
    # was paused. Not cleared when the run ends.
    paused_at = models.DateTimeField(null=True)
    paused_through = models.CharField(max_length=8, null=True, choices=[(s.value, s.value) for s in Pause])
    # The outcome of the run's work, while compensation, on_failure or finally are under way; else null.
    ending = models.CharField(max_length=12, null=True)
    # The time at which the run fails if it has not ended; null if its version sets no timeout.
    deadline = models.DateTimeField(null=True)
    # Within a workspace, runs with a higher priority are admitted first.
    priority = models.SmallIntegerField(db_default=0)
    # The gate of its concurrency limit; null if its version sets no limit.
    gate = models.ForeignKey(
        Gate, on_delete=models.SET_NULL, null=True, db_index=False, db_constraint=False, related_name="+"
    )
    # Whether it was admitted under a workspace's rate limit, which counts such runs.
    metered = models.BooleanField(db_default=False)
    # Of a sub-workflow run: the run, step, item and attempt that started it. `depth` is the number of runs above it.
    parent = models.ForeignKey("self", models.SET_NULL, null=True, db_index=False, db_constraint=False)
    parent_step = models.TextField(null=True)
    parent_item = models.IntegerField(null=True)
    parent_attempt = models.IntegerField(null=True)
    depth = models.SmallIntegerField(db_default=0)
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
            models.CheckConstraint(condition=_CONSISTENT, name="run_is_consistent"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["workflow", "id"], name="run_of_workflow"),
            models.Index(F("workspace"), _LANE, F("priority").desc(), F("id"), name="run_queued", condition=_QUEUED),
            # For "is any run queued?"; see runs.queries.lanes.
            models.Index(fields=["workspace"], name="run_backlog", condition=_WAITS & Q(gate__isnull=True)),
            models.Index(fields=["workspace"], name="run_backlog_gated", condition=_GATED),
            # Only runs with a gate or under a rate limit cause writes to these indexes.
            models.Index(F("gate"), F("priority").desc(), F("id"), name="run_gated", condition=_GATED),
            models.Index(
                fields=["gate"],
                name="run_in_gate",
                condition=Q(gate__isnull=False, started_at__isnull=False, finished_at__isnull=True),
            ),
            # Runs that a retry or a resume could bring back to their gate.
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
            # Only paused runs cause writes to it.
            models.Index(fields=["workflow", "id"], name="run_paused", condition=Q(paused_at__isnull=False)),
            models.Index(
                fields=["workspace", "state", "id"],
                name="run_live",
                condition=Q(state__in=values(RUN_LIVE)),
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
            # For lists of runs that did not succeed. A run that succeeds causes no write to them.
            models.Index(fields=["state", "workspace", "id"], name="run_unhappy", condition=_UNHAPPY),
            models.Index(fields=["workflow", "state", "id"], name="run_unhappy_of_workflow", condition=_UNHAPPY),
            # For the admin's list by state, which shows all workspaces.
            models.Index(fields=["state", "id"], name="run_unhappy_of_all", condition=_UNHAPPY),
            # For the search by label; only runs with labels cause writes to it. It includes the workspace (extension
            # btree_gin), because other workspaces may have a million runs with the same label.
            GinIndex(fields=["workspace", "labels"], name="run_labelled", condition=~Q(labels={})),
        ]

    def __str__(self) -> str:
        return str(self.id)
