"""The tables of the naive app, as one would write them at first."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class NaiveRun(models.Model):
    objects: ClassVar[models.Manager[NaiveRun]] = models.Manager()

    state = models.CharField(max_length=12, default="running")
    input = models.JSONField()
    output = models.JSONField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"run {self.pk}"


class NaiveStep(models.Model):
    objects: ClassVar[models.Manager[NaiveStep]] = models.Manager()

    run = models.ForeignKey(NaiveRun, on_delete=models.CASCADE)
    step = models.CharField(max_length=64)
    state = models.CharField(max_length=12, default="running")
    input = models.JSONField()
    output = models.JSONField(null=True)
    started_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.step} of {self.run}"
