"""The addresses below /api/v1/. None ends in a slash; a workflow is named by its id or its name."""

from django.urls import path, re_path

import runs.api.schema  # noqa: F401 - registers itself
from runs.api.base import Nowhere
from runs.api.dead_letters import DeadLetters, OneDeadLetter
from runs.api.jobs import Jobs, OneJob
from runs.api.runs import OneRun, Runs
from runs.api.workflows import OneWorkflow, StartedRuns, Workflows

urlpatterns = [
    path("workflows", Workflows.as_view(), name="api-workflows"),
    # A workflow's name may hold a slash.
    path("workflows/<path:key>/runs", StartedRuns.as_view(), name="api-workflow-runs"),
    path("workflows/<path:key>", OneWorkflow.as_view(), name="api-workflow"),
    path("runs", Runs.as_view(), name="api-runs"),
    path("runs/<str:key>", OneRun.as_view(), name="api-run"),
    path("jobs", Jobs.as_view(), name="api-jobs"),
    path("jobs/<str:key>", OneJob.as_view(), name="api-job"),
    path("dead-letters", DeadLetters.as_view(), name="api-dead-letters"),
    path("dead-letters/<str:key>", OneDeadLetter.as_view(), name="api-dead-letter"),
    re_path(r"^", Nowhere.as_view(schema=None), name="api-nowhere"),
]
