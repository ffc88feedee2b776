"""What the buttons of a workflow do to its runs."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse

from runs.admin.confirmation import Page, ask
from runs.admin.permissions import CHANGE_RUNS, require
from runs.control import pauses, verbs
from runs.models import Run
from workflows.models import Workflow


def pause_workflow(request: HttpRequest, key: UUID) -> HttpResponse:
    """Hold the workflow's runs, those to come included."""
    workflow = _workflow(request, key)
    return ask(
        request,
        _of_workflow(workflow, verb=verbs.PAUSE_WORKFLOW.title, says=verbs.PAUSE_WORKFLOW.does),
        verb=lambda actor: pauses.pause_workflow(workflow, actor=actor),
        done=lambda count: f"The workflow is paused; {_runs_were(count)} held.",
    )


def resume_workflow(request: HttpRequest, key: UUID) -> HttpResponse:
    """Let the workflow's runs go on."""
    workflow = _workflow(request, key)
    return ask(
        request,
        _of_workflow(workflow, verb=verbs.RESUME_WORKFLOW.title, says=verbs.RESUME_WORKFLOW.does),
        verb=lambda actor: pauses.resume_workflow(workflow, actor=actor),
        done=lambda count: f"The workflow is resumed; {_runs_were(count)} let go.",
    )


def _workflow(request: HttpRequest, key: UUID) -> Workflow:
    require(request, CHANGE_RUNS)
    return get_object_or_404(Workflow, pk=key, kind=Workflow.Kind.WORKFLOW)


def _of_workflow(workflow: Workflow, **told: Any) -> Page:
    state = "paused" if workflow.paused_at else "not paused"
    back = reverse("admin:workflows_workflow_change", args=[workflow.pk])
    return Page(of=Run, name=workflow.name, detail="the workflow", state=state, back=back, **told)


def _runs_were(count: int) -> str:
    return "1 run was" if count == 1 else f"{count} runs were"
