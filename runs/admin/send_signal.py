"""The admin's page that sends a signal to a run by hand."""

from __future__ import annotations

from urllib.parse import urlencode
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse

from runs.admin.buttons import Button, run_page
from runs.admin.confirmation import Page, actor_of, filled, refused, show, succeeded
from runs.admin.forms import SignalForm
from runs.admin.permissions import may_change_run, require_change_run
from runs.control import preconditions, signals
from runs.control.preconditions import cannot_signal
from runs.control.signals import Message
from runs.models import Run


def buttons(request: HttpRequest, run_id: UUID, *, name: str) -> list[Button]:
    """What lets a step go on that waits for this signal, for those who may."""
    if not may_change_run(request):
        return []
    address = reverse("admin:runs_run_signal", args=[run_id])
    return [Button("Send signal…", f"{address}?{urlencode({'name': name})}", "notifications_active")]


def send(request: HttpRequest, key: UUID) -> HttpResponse:
    """Send the signal: it ends the wait of the run's step for this name, or is kept for one that is still to come."""
    require_change_run(request)
    run = get_object_or_404(Run.objects.select_related("workflow").only("state", "workflow__name"), pk=key)
    page = Page(
        of=Run,
        verb="Send signal",
        name=run.workflow.name,
        detail=f"run {run.pk}",
        state=run.state,
        says="It ends the wait of the step that has waited longest for this name; or it is kept until one does.",
        back=run_page(key),
        form=SignalForm,
    )
    if run.state not in preconditions.SIGNALLABLE:
        return refused(request, cannot_signal(key, run.state, name=""), to=page.back)
    form = filled(request, page, name=request.GET.get("name", ""))
    if not form.is_valid():
        return show(request, form, page)
    name = form.cleaned_data["name"]
    message = Message(name, form.cleaned_data["payload"])
    if not signals.send([key], message=message, actor=actor_of(request, "")):
        form.add_error("name", f"{cannot_signal(key, preconditions.state_of(key), name=name)}.")
        return show(request, form, page)
    return succeeded(request, f"The run took the signal {name}.", to=page.back)
