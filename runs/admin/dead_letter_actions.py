"""What the buttons of a dead letter do."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse

from runs.admin.buttons import run_page
from runs.admin.confirmation import Page, actor_of, ask, filled, refused, sentences, show, succeeded
from runs.admin.forms import EditedRetryForm, ReasonForm, WhyForm, as_json
from runs.admin.permissions import CHANGE_DEAD_LETTERS, require, sees_secrets
from runs.control import dead_letters, preconditions, verbs
from runs.history import masking
from runs.models import DeadLetter

_SHOWN_READINGS = 100


def retry_dead_letter(request: HttpRequest, key: UUID) -> HttpResponse:
    """Let the letter's run go on from its step."""
    verb = verbs.RETRY_DEAD_LETTER
    return _retried(request, key, WhyForm, title=verb.title, says=verb.does)


def edit_dead_letter(request: HttpRequest, key: UUID) -> HttpResponse:
    """Let the letter's run go on from its step with another input."""
    says = (
        f"{verbs.RETRY_DEAD_LETTER.does} Here its step is given the input below. The run's own input stays as it is,"
        " and so does what other steps put out: to change those, replay the run from this step with another run input."
    )
    return _retried(request, key, EditedRetryForm, title="Retry with edited input", says=says)


def discard(request: HttpRequest, key: UUID) -> HttpResponse:
    """Close the dead letter for good."""
    dead_letter = _dead_letter(request, key)
    verb = verbs.DISCARD
    page = _of_dead_letter(dead_letter, verb=verb.title, says=verb.does, form=ReasonForm, danger=verb.dangerous)
    if not verb.legal(dead_letter):
        return refused(request, verb.why_not(dead_letter), to=page.back)
    return ask(
        request,
        page,
        verb=lambda actor: verb.function([key], actor=actor),
        done=lambda _: f"The dead letter is {verb.past}.",
        refusal=lambda: verb.why_not(_dead_letter(request, key)),
    )


def _retried(request: HttpRequest, key: UUID, shape: type[WhyForm], *, title: str, says: str) -> HttpResponse:
    dead_letter = _dead_letter(request, key)
    reads = preconditions.reads_of(dead_letter) if shape is EditedRetryForm else None
    readings = () if reads is None else reads.readings[:_SHOWN_READINGS]
    page = _of_dead_letter(dead_letter, verb=title, says=says, form=shape, readings=readings)
    if not verbs.RETRY_DEAD_LETTER.legal(dead_letter):
        return refused(request, preconditions.cannot_retry_dead_letter(dead_letter), to=page.back)
    if reads is not None and not reads.something:
        return refused(request, reads.unread(None) or "", to=page.back)
    form = filled(request, page, input=as_json(masking.config(dead_letter.input, secrets=sees_secrets(request))))
    if not form.is_valid():
        return show(request, form, page)
    why, given = form.cleaned_data["why"], form.cleaned_data.get("input")
    if not dead_letters.retry([key], actor=actor_of(request, why), given=given):
        why_not = preconditions.cannot_retry_dead_letter(_dead_letter(request, key), given=given)
        if given is not None and preconditions.cannot_edit(dead_letter, given=given) is not None:
            form.add_error("input", f"{why_not}.")
            return show(request, form, page)
        return refused(request, why_not, to=page.back)
    said = " ".join(["The dead letter is retried.", *sentences(verbs.RETRY_DEAD_LETTER.notes([key]))])
    return succeeded(request, said, to=run_page(dead_letter.run_id))


def _dead_letter(request: HttpRequest, key: UUID) -> DeadLetter:
    require(request, CHANGE_DEAD_LETTERS)
    letters = DeadLetter.objects.select_related("run", "workflow").defer(
        "run__input", "run__output", "config", "attempts", "workflow__settings"
    )
    return get_object_or_404(letters, pk=key)


def _of_dead_letter(dead_letter: DeadLetter, **told: Any) -> Page:
    detail = f"of {dead_letter.workflow.name}, run {dead_letter.run_id}"
    back = reverse("admin:runs_deadletter_change", args=[dead_letter.pk])
    return Page(of=DeadLetter, name=dead_letter.place, detail=detail, state=dead_letter.state, back=back, **told)
