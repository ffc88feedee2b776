"""The admin's pages to start a run: one to choose a workflow, one with the form for its input."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse

from runs.admin.formatting import json_text
from runs.admin.forms import StartForm
from runs.admin.permissions import START, require
from runs.control import archives, keys, starts, verbs
from runs.control.keys import KeyTaken
from runs.domain.requests import Request
from runs.models import Run
from workflows.definitions.errors import InvalidInput
from workflows.models import Workflow

OFFERED = 100


def choose(request: HttpRequest) -> HttpResponse:
    """Show the published workflows by name; the query parameter `q` searches in the names."""
    require(request, START)
    wanted = request.GET.get("q", "").replace("\x00", "")
    found = Workflow.objects.filter(kind=Workflow.Kind.WORKFLOW, current__isnull=False, archived_at=None)
    if wanted:
        found = found.filter(name__icontains=wanted)
    shown = found.order_by("name").select_related("workspace")[: OFFERED + 1]
    more = len(shown) > OFFERED
    return _page(request, "runs/choose_workflow.html", "Start a run", workflows=shown[:OFFERED], more=more, q=wanted)


def start(request: HttpRequest, workflow_id: UUID) -> HttpResponse:
    """Show the form of one workflow; a valid POST starts the run and redirects to its page."""
    require(request, START)
    holders = Workflow.objects.select_related("current", "workspace").filter(kind=Workflow.Kind.WORKFLOW)
    workflow = get_object_or_404(holders, pk=workflow_id)
    form = StartForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        run_id = _started(form, workflow=workflow)
        if run_id is not None:
            messages.success(request, f"{workflow.name} was started.")
            return redirect("admin:runs_run_change", run_id)
    return _page(
        request, "runs/start_run.html", f"Start {workflow.name}", form=form, workflow=workflow,
        inputs=_inputs(workflow), says=verbs.START.does,
    )  # fmt: skip


def _started(form: StartForm, *, workflow: Workflow) -> UUID | None:
    """Start the run and return its id; if it is refused, add the problems to the form's fields and return None."""
    if workflow.current is None or workflow.archived_at is not None:
        form.add_error(None, archives.cannot_start(workflow) or "")
        return None
    given = form.cleaned_data
    request = Request(
        given["input"],
        idempotency_key=given["idempotency_key"],
        labels=given["labels"],
        priority=given["priority"],
        compares=True,
    )
    try:
        with transaction.atomic():
            answers = starts.start([request], version=workflow.current, workflow=workflow, source="admin")
            return keys.only(answers, key=request.idempotency_key).run_id
    except InvalidInput as error:
        form.add_error("input", [str(problem) for problem in error.problems])
    except KeyTaken as error:
        form.add_error(
            "idempotency_key", f"Run {error.conflict.id} has this key with another input. Use another key, or none."
        )
    return None


def _page(request: HttpRequest, template: str, title: str, **context: Any) -> HttpResponse:
    told = {**admin.site.each_context(request), "title": title, "opts": Run._meta, **context}
    return TemplateResponse(request, template, told)


def _inputs(workflow: Workflow) -> str:
    """Return the JSON Schema that the input must match, as text; an empty string if the version has none."""
    schema = workflow.current.definition.get("inputs") if workflow.current else None
    return json_text(schema) if schema else ""
