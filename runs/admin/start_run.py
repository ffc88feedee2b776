"""The admin's pages to start a run: choose a workflow, give its input, and go to the run."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from actions import payload
from actions.base import Json
from runs.admin.base import json_text
from runs.admin.run_page import may_start
from runs.control import starts
from runs.domain.requests import Request
from runs.models import Run
from workflows.definitions.errors import InvalidInput
from workflows.models import Workflow

OFFERED = 100
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class StartForm(forms.Form):
    """What a run is started with."""

    input = forms.CharField(
        label="Input (JSON)",
        initial="{}",
        strip=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 12, "spellcheck": "false", "class": "font-mono"}),
    )
    idempotency_key = forms.CharField(
        required=False,
        max_length=255,
        widget=UnfoldAdminTextInputWidget(),
        help_text="Starting again with a key that was used before shows the first run.",
    )
    labels = forms.CharField(
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3, "placeholder": "team=shop"}),
        help_text="One key=value on each line.",
    )

    priority = forms.IntegerField(
        required=False,
        min_value=-100,
        max_value=100,
        widget=UnfoldAdminIntegerFieldWidget(),
        help_text="-100 to 100, higher ones begin first; empty: the definition's.",
    )

    def clean_input(self) -> Json:
        """The input's value. An error names the place in the JSON."""
        try:
            return payload.loads(self.cleaned_data["input"])
        except payload.PayloadError as error:
            where = f"{error.path}: " if error.path else ""
            raise forms.ValidationError(f"{where}{error}") from None

    def clean_idempotency_key(self) -> str | None:
        """The key, None where it is empty."""
        key: str = self.cleaned_data["idempotency_key"]
        if _CONTROL.search(key):
            raise forms.ValidationError("must have no control characters")
        return key or None

    def clean_labels(self) -> dict[str, str]:
        """The labels by their keys."""
        found = {}
        for line in filter(None, (line.strip() for line in self.cleaned_data["labels"].splitlines())):
            key, equals, value = (part.strip() for part in line.partition("="))
            if not (key and equals) or len(key) > 63 or len(value) > 255:
                raise forms.ValidationError(f"{line[:80]!r} must be written as key=value")
            found[key] = value
        return found


def choose(request: HttpRequest) -> HttpResponse:
    """Published workflows by name; `q` narrows them."""
    _demand(request)
    wanted = request.GET.get("q", "").replace("\x00", "")
    found = Workflow.objects.filter(kind=Workflow.Kind.WORKFLOW, current__isnull=False)
    if wanted:
        found = found.filter(name__icontains=wanted)
    shown = found.order_by("name").select_related("workspace")[: OFFERED + 1]
    more = len(shown) > OFFERED
    return _page(request, "runs/choose_workflow.html", "Start a run", workflows=shown[:OFFERED], more=more, q=wanted)


def start(request: HttpRequest, workflow_id: UUID) -> HttpResponse:
    """The form of one workflow; when it is right, the run's page."""
    _demand(request)
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
        inputs=_inputs(workflow),
    )  # fmt: skip


def _started(form: StartForm, *, workflow: Workflow) -> UUID | None:
    """The run's id; None, and the problems at their fields, where it is refused."""
    if workflow.current is None:
        form.add_error(None, f"{workflow.name} is not published yet; publish it first")
        return None
    given = form.cleaned_data
    request = Request(
        given["input"],
        idempotency_key=given["idempotency_key"],
        labels=given["labels"],
        priority=given["priority"],
    )
    try:
        with transaction.atomic():
            [started] = starts.start([request], version=workflow.current, workflow=workflow, source="admin")
    except InvalidInput as error:
        form.add_error("input", [str(problem) for problem in error.problems])
        return None
    return started.run_id


def _demand(request: HttpRequest) -> None:
    if not may_start(request):
        raise PermissionDenied("this account may not start runs")


def _page(request: HttpRequest, template: str, title: str, **context: Any) -> HttpResponse:
    told = {**admin.site.each_context(request), "title": title, "opts": Run._meta, **context}
    return TemplateResponse(request, template, told)


def _inputs(workflow: Workflow) -> str:
    """The JSON Schema that the input must match, as text; empty where there is none."""
    schema = workflow.current.definition.get("inputs") if workflow.current else None
    return json_text(schema) if schema else ""
