"""What the buttons of a dead letter do."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse

from runs.admin.buttons import run_page
from runs.admin.confirmation import Page, ask, filled, hand, refused, show, succeeded
from runs.admin.forms import EditedRetryForm, ReasonForm, WhyForm, as_json
from runs.admin.permissions import may_change_letter
from runs.control import dead_letters, preconditions
from runs.models import DeadLetter


def retry_letter(request: HttpRequest, key: UUID) -> HttpResponse:
    """Let the letter's run go on from its step."""
    says = "The run goes on from this step, with the input that the step had."
    return _letter_verb(request, key, WhyForm, verb="Retry", says=says)


def edit_letter(request: HttpRequest, key: UUID) -> HttpResponse:
    """Let the letter's run go on from its step with another input."""
    says = "The run goes on from this step, with the input below. The run's own input stays as it is."
    return _letter_verb(request, key, EditedRetryForm, verb="Retry with edited input", says=says)


def discard(request: HttpRequest, key: UUID) -> HttpResponse:
    """Close the letter for good."""
    letter = _letter(request, key)
    says = "The dead letter is closed for good. Its run stays as it is."
    page = _of_letter(letter, verb="Discard", says=says, form=ReasonForm, danger=True)
    if letter.state not in preconditions.OPEN:
        return refused(request, preconditions.cannot_discard(letter.state), to=page.back)
    return ask(
        request,
        page,
        verb=lambda hand: dead_letters.discard([key], hand=hand),
        done=lambda _: "The dead letter is discarded.",
        refusal=lambda: preconditions.cannot_discard(_letter(request, key).state),
    )


def _letter_verb(request: HttpRequest, key: UUID, shape: type[WhyForm], *, verb: str, says: str) -> HttpResponse:
    letter = _letter(request, key)
    page = _of_letter(letter, verb=verb, says=says, form=shape)
    if letter.state not in preconditions.OPEN or letter.run.state not in preconditions.RETRYABLE:
        return refused(request, preconditions.cannot_retry_letter(letter), to=page.back)
    form = filled(request, page, input=as_json(letter.input))
    if not form.is_valid():
        return show(request, form, page)
    why, given = form.cleaned_data["why"], form.cleaned_data.get("input")
    if not dead_letters.retry([key], hand=hand(request, why), given=given):
        why_not = preconditions.cannot_retry_letter(_letter(request, key), edited=given is not None)
        if given is not None and preconditions.cannot_edit(letter) is not None:
            form.add_error("input", f"{why_not}.")
            return show(request, form, page)
        return refused(request, why_not, to=page.back)
    return succeeded(request, "The run goes on.", to=run_page(letter.run_id))


def _letter(request: HttpRequest, key: UUID) -> DeadLetter:
    if not may_change_letter(request):
        raise PermissionDenied("this account may not change dead letters")
    letters = DeadLetter.objects.select_related("run", "workflow").defer(
        "run__input", "run__output", "config", "attempts", "workflow__settings"
    )
    return get_object_or_404(letters, pk=key)


def _of_letter(letter: DeadLetter, **told: Any) -> Page:
    detail = f"of {letter.workflow.name}, run {letter.run_id}"
    back = reverse("admin:runs_deadletter_change", args=[letter.pk])
    return Page(of=DeadLetter, name=letter.step, detail=detail, state=letter.state, back=back, **told)
