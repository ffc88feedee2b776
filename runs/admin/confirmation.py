"""The admin's confirmation page: it asks why something is to be done by hand, does it, and goes back to say so."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from runs.admin.formatting import colour
from runs.admin.forms import WhyForm
from runs.domain.actor import Actor
from runs.planning.reads import Reading

Won = TypeVar("Won")


@dataclass(frozen=True)
class Page:
    """What a confirmation page asks and shows: of a row of which model, what the verb does, and the way back."""

    of: type[Model]
    verb: str
    name: str
    detail: str
    state: str
    says: str
    back: str
    form: type[forms.Form] = WhyForm
    steps: Sequence[str] = ()
    stored: str = ""
    readings: Sequence[Reading] = ()
    danger: bool = False

    @property
    def colour(self) -> str:
        return colour(self.state)


def ask(
    request: HttpRequest,
    page: Page,
    *,
    verb: Callable[[Actor], Won],
    done: Callable[[Won], str],
    refusal: Callable[[], str] | None = None,
) -> HttpResponse:
    """The page until its form, which asks why, is answered; then do it, and go back to where it is told.

    `done` tells what the verb won; `refusal` why it won nothing, None where even that is done.
    """
    form = filled(request, page)
    if not form.is_valid():
        return show(request, form, page)
    won = verb(actor_of(request, form.cleaned_data["why"]))
    if refusal is not None and not won:
        return refused(request, refusal(), to=page.back)
    return succeeded(request, done(won), to=page.back)


def filled(request: HttpRequest, page: Page, **initial: Any) -> forms.Form:
    """The page's form as it was sent; where it is only looked at, with these values to begin with."""
    return page.form(request.POST if request.method == "POST" else None, initial=initial)


def actor_of(request: HttpRequest, why: str) -> Actor:
    """Return the logged-in user as the actor of a verb."""
    return Actor(request.user.pk, why)


def refused(request: HttpRequest, why: str, *, to: str) -> HttpResponse:
    """Back to a page that says why nothing was changed."""
    messages.error(request, f"Nothing was changed: {why}.")
    return redirect(to)


def succeeded(request: HttpRequest, said: str, *, to: str) -> HttpResponse:
    """Back to a page that says what was done."""
    messages.success(request, said)
    return redirect(to)


def sentences(notes: Mapping[UUID, str]) -> list[str]:
    """Return what a verb noted of the rows that it changed, as sentences."""
    return [f"{note[:1].upper()}{note[1:]}." for note in notes.values()]


def show(request: HttpRequest, form: forms.Form, page: Page) -> HttpResponse:
    """The page that asks before something is done."""
    context: dict[str, Any] = {
        **admin.site.each_context(request),
        "title": page.verb,
        "opts": page.of._meta,
        "form": form,
        "page": page,
    }
    return TemplateResponse(request, "runs/verb.html", context)
