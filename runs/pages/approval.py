"""The page behind a signed approval link: the question and two buttons. Opening it changes nothing."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django import forms
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from actions.catalogue.approval import SIGNAL
from actions.moments import to_minute
from runs.control import approval_links, approvals
from runs.control.approval_links import Link
from runs.control.approvals import LINK, Decision
from runs.domain.actor import Actor
from runs.domain.states import StepState
from runs.models import StepRun
from workflows.workspaces import permissions
from workflows.workspaces.permissions import Right

WAY = permissions.way("page: approval link", Right.DECIDE)


class DecisionForm(forms.Form):
    """The button that was pressed, and the comment."""

    decision = forms.ChoiceField(choices=[("approve", "Approve"), ("reject", "Reject")])
    comment = forms.CharField(required=False, max_length=2000)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def decide(request: HttpRequest, token: str) -> HttpResponse:
    """GET shows the question, POST decides it.

    403 if the link is forged or somebody else must decide, 409 if it is decided already, 410 if the link has expired
    or the step no longer waits.
    """
    try:
        link = approval_links.read(token)
    except approval_links.Forged:
        return _closed(request, 403, "This link is not valid", "It was not made here, or was changed on its way.")
    except approval_links.Late:
        return _closed(request, 410, "This link has expired", "Links last a week. Ask for a new one.")
    row = _row(link)
    refusal = _refusal(request, link, row)
    if refusal is not None or row is None:
        return refusal or _gone(request, None)
    if not permissions.may(permissions.LINK, WAY, workspace=row.run.workspace_id):
        return _closed(request, 403, "Links decide nothing here", "Log in to decide, or ask who runs this site.")
    if request.method != "POST":
        return _question(request, row)
    form = DecisionForm(request.POST)
    if not form.is_valid():
        return _question(
            request, row, status=400, fault="Press Approve or Reject; a comment has at most 2,000 letters."
        )
    return _decide(request, link, approved=form.cleaned_data["decision"] == "approve", why=form.cleaned_data["comment"])


def _decide(request: HttpRequest, link: Link, *, approved: bool, why: str) -> HttpResponse:
    name = _username(request)
    decision = Decision(approved, by=name or LINK, username=name, attempt=link.attempt)
    actor = Actor(request.user.pk if request.user.is_authenticated else None, why)
    if approvals.decide([link.step_key], decision=decision, actor=actor):
        title, says = ("Approved", "The run goes on.") if approved else ("Rejected", "The rejection was recorded.")
        return _show(request, 200, {"title": title, "says": says, "done": decision.verb})
    row = _row(link)
    return _refusal(request, link, row) or _gone(request, row)


def _refusal(request: HttpRequest, link: Link, row: StepRun | None) -> HttpResponse | None:
    """Return the page that says why this user cannot decide now; None if the user can."""
    waits = row is not None and row.state == StepState.WAITING and row.attempt == link.attempt
    if row is None or not waits:
        return _gone(request, row)
    if approvals.may_decide(row, _username(request)):
        return None
    names = approvals.deciders(row)
    if request.user.is_authenticated:
        return _closed(request, 403, "Not yours to decide", f"This may be decided by {names} only.")
    login = f"{reverse('admin:login')}?{urlencode({'next': request.path})}"
    return _closed(request, 403, "Log in to decide", f"This may be decided by {names} only.", login=login)


def _gone(request: HttpRequest, row: StepRun | None) -> HttpResponse:
    decision = approvals.decided(row) if row is not None else None
    if decision is not None:
        verb = "approved" if decision.verb == approvals.APPROVE else "rejected"
        says = f"It was {verb} by {approvals.who(decision)}, {to_minute(decision.at)}. Nothing was changed now."
        return _closed(request, 409, "Decided already", says)
    return _closed(request, 410, "Too late", "The step waits no more: its time was up, or its run has ended.")


def _question(request: HttpRequest, row: StepRun, *, status: int = 200, fault: str = "") -> HttpResponse:
    asked = approvals.asked(row)
    context = {
        "title": "Approve?",
        "question": asked.message if asked else "",
        "workflow": row.run.workflow.name,
        "row": row,
        "until": to_minute(row.wake_at) if row.wake_at else "",
        "since": to_minute(row.started_at) if row.started_at else "",
        "fault": fault,
    }
    return _show(request, status, context)


def _closed(request: HttpRequest, status: int, title: str, says: str, *, login: str = "") -> HttpResponse:
    return _show(request, status, {"title": title, "says": says, "login": login})


def _show(request: HttpRequest, status: int, context: dict[str, Any]) -> HttpResponse:
    return TemplateResponse(request, "runs/approval.html", context, status=status)


def _row(link: Link) -> StepRun | None:
    run_id, step, item = link.step_key
    rows = StepRun.objects.filter(run_id=run_id, step=step, item=item, signal=SIGNAL)
    values = ("input", "output", "error", "attempts", "run__input", "run__output", "run__workflow__settings")
    return rows.select_related("run__workflow").defer(*values).first()


def _username(request: HttpRequest) -> str:
    """Return the logged-in user's name; without a login an empty string, which is no user's name."""
    return request.user.get_username() if request.user.is_authenticated else ""
