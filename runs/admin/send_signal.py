"""The admin's page that sends a signal to a run by hand."""

from __future__ import annotations

from urllib.parse import urlencode
from uuid import UUID

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from unfold.widgets import UnfoldAdminTextInputWidget

from actions.catalogue.wait_for_signal import signal_name
from runs.admin.confirmation import Page, filled, hand, refused, show, succeeded
from runs.admin.forms import JsonField
from runs.admin.run_actions import Button, may_change_run, require_change_run, run_page
from runs.control import preconditions, signals
from runs.control.preconditions import cannot_signal
from runs.control.signals import Message
from runs.models import Run


class SignalForm(forms.Form):
    """What is sent, and under which name."""

    name = forms.CharField(label="Name", max_length=100, widget=UnfoldAdminTextInputWidget())
    payload = JsonField(
        label="Payload (JSON)", rows=8, required=False, help_text="The step's output has it as `payload`. Empty: null."
    )

    def clean_name(self) -> str:
        """The name, if a signal may bear it."""
        try:
            return signal_name(self.cleaned_data["name"])
        except ValueError as error:
            raise forms.ValidationError(str(error)) from None


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
    if not signals.send([key], message=message, hand=hand(request, "")):
        form.add_error("name", f"{cannot_signal(key, preconditions.state_of(key), name=name)}.")
        return show(request, form, page)
    return succeeded(request, f"The run took the signal {name}.", to=page.back)
