"""Interventions: the log of the verbs that people called on a run, or on a workflow as a whole."""

from __future__ import annotations

from django.contrib.auth import get_user_model
from django.db import models
from django.db.models.functions import Now

from workflows.models import Workflow


class Intervention(models.Model):
    """A verb that somebody called on a run: who, when and why. Written in the verb's transaction, never changed."""

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey("runs.Run", on_delete=models.CASCADE, db_constraint=False, related_name="interventions")
    verb = models.CharField(max_length=12)
    by = models.ForeignKey(get_user_model(), on_delete=models.PROTECT, null=True, related_name="+", db_index=False)
    why = models.TextField(blank=True)
    # Details of the verb: steps retried, inputs edited, the run that a replay started.
    details = models.JSONField(default=dict)
    at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"{self.verb} of {self.run_id}"


class WorkflowIntervention(models.Model):
    """A verb that somebody called on a workflow: pause, resume or prune. Not repeated in the history of each run."""

    id = models.BigAutoField(primary_key=True)
    workflow = models.ForeignKey(Workflow, on_delete=models.CASCADE, related_name="+")
    verb = models.CharField(max_length=12)
    by = models.ForeignKey(get_user_model(), on_delete=models.PROTECT, null=True, related_name="+", db_index=False)
    why = models.TextField(blank=True)
    at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"{self.verb} of {self.workflow_id}"
