"""What the buttons of a waiting approval do."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404

from actions.catalogue.approval import SIGNAL
from runs.admin.buttons import run_page
from runs.admin.confirmation import Page, ask, refused
from runs.admin.permissions import CHANGE_RUNS, require
from runs.control import approvals, verbs
from runs.control.approvals import Decision
from runs.control.verbs import Verb
from runs.domain.states import StepState
from runs.models import Approval, StepRun

WAITING_COLUMNS = ("input", "output", "error", "attempts", "run__input", "run__output", "run__workflow__settings")


def approve(request: HttpRequest, key: int) -> HttpResponse:
    """Approve the step."""
    return _decide(request, key, verb=verbs.APPROVE)


def reject(request: HttpRequest, key: int) -> HttpResponse:
    """Reject the step."""
    return _decide(request, key, verb=verbs.REJECT)


def _decide(request: HttpRequest, key: int, *, verb: Verb) -> HttpResponse:
    require(request, CHANGE_RUNS)
    row = _row(key)
    step_key, name = (row.run_id, row.step, row.item), request.user.get_username()
    back = run_page(row.run_id)
    if row.state != StepState.WAITING or row.signal != SIGNAL or not approvals.may_decide(row, name):
        return refused(request, approvals.cannot_decide(row, step=row.step, username=name), to=back)
    page = _page(row, verb=verb, back=back)
    decision = Decision(verb is verbs.APPROVE, by=name, username=name, attempt=row.attempt)
    return ask(
        request,
        page,
        verb=lambda actor: approvals.decide([step_key], decision=decision, actor=actor),
        done=lambda _: f"Step {row.step} is {verb.past}.",
        refusal=lambda: approvals.cannot_decide(_row(key), step=row.step, username=name),
    )


def _page(row: StepRun, *, verb: Verb, back: str) -> Page:
    asked = approvals.asked(row)
    return Page(
        of=Approval,
        verb=verb.title,
        name=row.step,
        detail=f"of {row.run.workflow.name}, run {row.run_id}",
        state=row.state,
        says=f"{asked.message} {verb.does}" if asked else verb.does,
        back=back,
        danger=verb.dangerous,
    )


def _row(key: int) -> StepRun:
    return get_object_or_404(StepRun.objects.select_related("run__workflow").defer(*WAITING_COLUMNS), pk=key)
