"""The admin's page that sends a signal to a run by hand."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404

from runs.admin.buttons import run_page
from runs.admin.confirmation import Page, actor_of, filled, refused, show, succeeded
from runs.admin.forms import SignalForm
from runs.admin.permissions import CHANGE_RUNS, require
from runs.control import preconditions, signals, verbs
from runs.control.preconditions import cannot_signal
from runs.control.signals import Message
from runs.models import Run


def send(request: HttpRequest, key: UUID) -> HttpResponse:
    """Send a signal: it ends the wait of the run's step for this name, or is kept until a step waits for it."""
    require(request, CHANGE_RUNS)
    run = get_object_or_404(Run.objects.select_related("workflow").only("state", "workflow__name"), pk=key)
    page = Page(
        of=Run,
        verb="Send signal",
        name=run.workflow.name,
        detail=f"run {run.pk}",
        state=run.state,
        says=verbs.SIGNAL.does,
        back=run_page(key),
        form=SignalForm,
    )
    if run.state not in verbs.SIGNAL.states:
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
