"""The tables of workspaces and API tokens."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models.functions import Now
from uuid_utils.compat import uuid7


class Workspace(models.Model):
    """A tenant: each workflow, run and token belongs to exactly one."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=100, unique=True)
    # Started for every new dead letter, with the dead letter's facts as its input.
    alert_workflow = models.ForeignKey(
        "Workflow", on_delete=models.SET_NULL, null=True, blank=True, related_name="+", db_index=False
    )
    # Limits, enforced where runs are admitted; empty means none.
    concurrent_runs = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1)], help_text="How many runs may be running at once."
    )
    runs_per_minute = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="How many runs may begin within any minute; more are accepted and queue.",
    )
    # Enforced by runs.maintenance.retention.
    keep_days = models.PositiveIntegerField(
        null=True, blank=True, help_text="For how many days runs are kept after their end; empty or 0: for ever."
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(concurrent_runs__isnull=True) | models.Q(concurrent_runs__gte=1),
                name="workspace_concurrent_runs_from_one",
            ),
            models.CheckConstraint(
                condition=models.Q(runs_per_minute__isnull=True) | models.Q(runs_per_minute__gte=1),
                name="workspace_runs_per_minute_from_one",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Raise ValidationError if the alert workflow is of another workspace, or has no published version."""
        alert = self.alert_workflow
        if alert is not None and (alert.workspace_id != self.pk or alert.current_id is None):
            raise ValidationError({"alert_workflow": "must be a workflow of this workspace that has been published"})


class Scope(models.TextChoices):
    """What a token may be used for. None includes another: whoever starts runs and reads them needs both."""

    READ = "read", "read: look at workflows, runs, dead letters and figures"
    START = "start", "start: start runs and jobs"
    OPERATE = "operate", "operate: cancel, retry, replay, pause, signal, approve, discard"
    PUBLISH = "publish", "publish: publish workflows"
    USE = "use", "use: publish workflows that use credentials"
    ADMIN = "admin", "admin: change the workspace itself: its credentials"


def usual_scopes() -> list[str]:
    """What the migration of scopes gives to tokens that were there before. It must not change with Scope."""
    return ["read", "start", "operate", "publish"]


def new_scopes() -> list[str]:
    """The scopes of a token for which nothing else was asked: all but `admin`."""
    return [scope.value for scope in Scope if scope is not Scope.ADMIN]


class ApiToken(models.Model):
    """A bearer token of one user in one workspace. Only its sha256 is stored; the token is shown once."""

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="tokens")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=12, editable=False)
    sha256 = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    # Which of its workspace's ways in the token opens: see workflows.workspaces.permissions.SCOPE_OF.
    scopes = ArrayField(models.CharField(max_length=10, choices=Scope.choices), default=new_scopes)
    expires_at = models.DateTimeField(
        "ends", null=True, blank=True, help_text="From then on the token is refused; empty: it never ends."
    )
    # Written at most once a minute: see workflows.workspaces.tokens.note_use.
    last_used_at = models.DateTimeField("last used", null=True, blank=True, editable=False)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(scopes__contained_by=Scope.values) & models.Q(scopes__len__gte=1),
                name="token_scopes_are_known",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"
