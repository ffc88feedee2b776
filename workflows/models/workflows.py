"""The tables of workflows, their frozen versions, and the steps of their drafts."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now
from uuid_utils.compat import uuid7

from workflows.models.workspaces import Workspace


class Workflow(models.Model):
    """A workflow, by its name in a workspace. New runs use its version `current`.

    One workflow of `kind` jobs per workspace holds all of its jobs, which are runs of one step.
    """

    class Kind(models.TextChoices):
        WORKFLOW = "workflow"
        JOBS = "jobs"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="workflows")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    name = models.CharField(max_length=100)
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.WORKFLOW, editable=False)
    description = models.TextField(blank=True)
    # The draft's parts besides its steps: inputs, output, labels, triggers, concurrency, on_failure, finally.
    settings = models.JSONField(default=dict, blank=True)
    current = models.ForeignKey(
        "Version", on_delete=models.PROTECT, null=True, blank=True, editable=False, related_name="+"
    )
    # The current version's `concurrency.limit`. It holds for every run of the workflow that has a gate, also for runs
    # of older versions.
    concurrent_runs = models.PositiveIntegerField(null=True, editable=False)
    # Since when the workflow is paused. runs.control.pauses writes it to each run as well, and a new run copies it.
    paused_at = models.DateTimeField(null=True, editable=False)
    # Since when it is archived: no new runs, not in lists unless asked for, and its name is free for another.
    archived_at = models.DateTimeField(null=True, editable=False)
    keep_days = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="For how many days its runs are kept after their end; 0: for ever; empty: as the workspace says.",
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["workspace", "name"], name="workflow_name_once", condition=models.Q(archived_at__isnull=True)
            ),
            models.CheckConstraint(condition=models.Q(kind__in=["workflow", "jobs"]), name="workflow_kind_known"),
        ]

    def __str__(self) -> str:
        return self.name


class Version(models.Model):
    """A frozen definition, found by the sha256 of its canonical form. A database trigger refuses changes."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workflow = models.ForeignKey(Workflow, on_delete=models.PROTECT, related_name="versions", db_index=False)
    number = models.PositiveIntegerField()
    hash = models.CharField(max_length=64)
    definition = models.JSONField()
    # The ids of the steps that a new run begins with; admission writes their tickets without reading the definition.
    roots = ArrayField(models.TextField())
    # Seconds that a run may take; None: no limit.
    timeout = models.FloatField(null=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["workflow", "number"], name="version_number_once"),
            models.UniqueConstraint(fields=["workflow", "hash"], name="version_hash_once"),
            models.CheckConstraint(condition=models.Q(number__gte=1), name="version_number_from_one"),
        ]

    def __str__(self) -> str:
        return f"version {self.number}"


class Step(models.Model):
    """One step of a workflow's draft. Edits have no effect on runs until the draft is published."""

    workflow = models.ForeignKey(Workflow, on_delete=models.CASCADE, related_name="steps")
    position = models.PositiveIntegerField()
    key = models.CharField("id", max_length=64)
    label = models.CharField(max_length=200, blank=True)
    action = models.CharField(max_length=64)
    # The fields below are the definition's `with`, `needs`, `if`, and so on; empty means not given.
    config = models.JSONField("with", default=dict, blank=True)
    needs = models.JSONField(null=True, blank=True, default=None)
    condition = models.TextField("if", blank=True)
    join = models.CharField(max_length=20, blank=True)
    retry = models.JSONField(null=True, blank=True, default=None)
    timeout = models.CharField(max_length=20, blank=True)
    on_error = models.CharField(max_length=80, blank=True)
    # The other keys of the step in the definition (payload, for_each, compensate).
    more = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering: ClassVar = ["position", "id"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["workflow", "key"], name="step_key_once")]

    def __str__(self) -> str:
        return self.key
