"""The addresses below /api/v1/. None ends in a slash; a workflow is named by its id or its name."""

from django.urls import path, re_path

import runs.api.http.openapi  # noqa: F401 - registers itself
from runs.api.http.base import Nowhere
from runs.api.resources.actions import Actions, OneAction
from runs.api.resources.approvals import Approvals, ApproveStep, RejectStep
from runs.api.resources.archiving import ArchiveWorkflow, DeleteWorkflow, RestoreWorkflow
from runs.api.resources.bulk_start import StartedInBulk
from runs.api.resources.credentials import Credentials, OneCredential
from runs.api.resources.dead_letter_verbs import (
    DiscardDeadLetters,
    DiscardOneDeadLetter,
    RetryDeadLetters,
    RetryOneDeadLetter,
)
from runs.api.resources.dead_letters import DeadLetters, OneDeadLetter
from runs.api.resources.index import Index
from runs.api.resources.items import Items
from runs.api.resources.jobs import Jobs, OneJob
from runs.api.resources.run_verbs import (
    CancelRun,
    CancelRuns,
    PauseRun,
    PauseRuns,
    ReplayOneRun,
    ResumeRun,
    ResumeRuns,
    RetryOneRun,
    RetryRuns,
    TerminateRun,
    TerminateRuns,
)
from runs.api.resources.runs import OneRun, OneStep, RunOutput, Runs, StepOutput
from runs.api.resources.signals import RunSignals, Signals
from runs.api.resources.start_run import StartedRuns
from runs.api.resources.workflow_verbs import PauseWorkflow, ResumeWorkflow
from runs.api.resources.workflows import OneWorkflow, Workflows

urlpatterns = [
    path("", Index.as_view(), name="api-index"),
    path("workflows", Workflows.as_view(), name="api-workflows"),
    # A workflow's name may hold a slash.
    path("workflows/<path:key>/pause", PauseWorkflow.as_view(), name="api-workflow-pause"),
    path("workflows/<path:key>/resume", ResumeWorkflow.as_view(), name="api-workflow-resume"),
    path("workflows/<path:key>/archive", ArchiveWorkflow.as_view(), name="api-workflow-archive"),
    path("workflows/<path:key>/restore", RestoreWorkflow.as_view(), name="api-workflow-restore"),
    path("workflows/<path:key>/delete", DeleteWorkflow.as_view(), name="api-workflow-delete"),
    path("workflows/<path:key>/runs/bulk", StartedInBulk.as_view(), name="api-workflow-runs-bulk"),
    path("workflows/<path:key>/runs", StartedRuns.as_view(), name="api-workflow-runs"),
    path("workflows/<path:key>", OneWorkflow.as_view(), name="api-workflow"),
    path("runs", Runs.as_view(), name="api-runs"),
    path("runs/cancel", CancelRuns.as_view(), name="api-runs-cancel"),
    path("runs/pause", PauseRuns.as_view(), name="api-runs-pause"),
    path("runs/resume", ResumeRuns.as_view(), name="api-runs-resume"),
    path("runs/terminate", TerminateRuns.as_view(), name="api-runs-terminate"),
    path("runs/retry", RetryRuns.as_view(), name="api-runs-retry"),
    path("runs/<str:key>/cancel", CancelRun.as_view(), name="api-run-cancel"),
    path("runs/<str:key>/terminate", TerminateRun.as_view(), name="api-run-terminate"),
    path("runs/<str:key>/pause", PauseRun.as_view(), name="api-run-pause"),
    path("runs/<str:key>/resume", ResumeRun.as_view(), name="api-run-resume"),
    path("runs/<str:key>/retry", RetryOneRun.as_view(), name="api-run-retry"),
    path("runs/<str:key>/replay", ReplayOneRun.as_view(), name="api-run-replay"),
    path("runs/<str:key>/signals", RunSignals.as_view(), name="api-run-signals"),
    path("runs/<str:key>/steps/<str:step>/approve", ApproveStep.as_view(), name="api-step-approve"),
    path("runs/<str:key>/steps/<str:step>/reject", RejectStep.as_view(), name="api-step-reject"),
    path("runs/<str:key>/steps/<str:step>/items", Items.as_view(), name="api-run-items"),
    path("runs/<str:key>/steps/<str:step>/output", StepOutput.as_view(), name="api-step-output"),
    path("runs/<str:key>/steps/<str:step>", OneStep.as_view(), name="api-step"),
    path("runs/<str:key>/output", RunOutput.as_view(), name="api-run-output"),
    path("runs/<str:key>", OneRun.as_view(), name="api-run"),
    path("jobs", Jobs.as_view(), name="api-jobs"),
    path("jobs/<str:key>", OneJob.as_view(), name="api-job"),
    path("credentials", Credentials.as_view(), name="api-credentials"),
    path("credentials/<str:key>", OneCredential.as_view(), name="api-credential"),
    path("signals", Signals.as_view(), name="api-signals"),
    path("actions", Actions.as_view(), name="api-actions"),
    path("actions/<str:key>", OneAction.as_view(), name="api-action"),
    path("approvals", Approvals.as_view(), name="api-approvals"),
    path("dead-letters", DeadLetters.as_view(), name="api-dead-letters"),
    path("dead-letters/retry", RetryDeadLetters.as_view(), name="api-dead-letters-retry"),
    path("dead-letters/discard", DiscardDeadLetters.as_view(), name="api-dead-letters-discard"),
    path("dead-letters/<str:key>/retry", RetryOneDeadLetter.as_view(), name="api-dead-letter-retry"),
    path("dead-letters/<str:key>/discard", DiscardOneDeadLetter.as_view(), name="api-dead-letter-discard"),
    path("dead-letters/<str:key>", OneDeadLetter.as_view(), name="api-dead-letter"),
    re_path(r"^", Nowhere.as_view(schema=None), name="api-nowhere"),
]
