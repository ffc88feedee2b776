"""The admin's verbs over the rows chosen in a list: those in a legal state only, after a page that asks why."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from runs.admin.confirmation import actor_of, sentences
from runs.admin.forms import ReasonForm, WhyForm
from runs.control import preconditions, verbs
from runs.control.verbs import DeadLetterVerb, RunVerb, Verb
from runs.domain.actor import Actor

Chosen = QuerySet[Any]


_SHOWN_NOTES = 10


def _no_notes(_: Iterable[Any]) -> Mapping[Any, str]:
    return {}


@dataclass(frozen=True)
class Bulk:
    """A verb as the list offers it.

    `function` does it to the ids of rows; `narrow` leaves out rows that it would not change whatever their state;
    `notes` says what there is to know of those that it changed.
    """

    verb: Verb
    function: OverRows
    form: type[WhyForm | ReasonForm] = WhyForm
    narrow: Callable[[Chosen], Chosen] = QuerySet.all
    notes: Callable[[Iterable[Any]], Mapping[Any, str]] = _no_notes

    @property
    def action(self) -> str:
        """The action's name in the list's form."""
        return f"{self.verb.name}_chosen"


class OverRows(Protocol):
    """Does a verb to rows, and returns those that it changed."""

    def __call__(self, ids: Sequence[Any], /, *, actor: Actor) -> frozenset[Any]: ...


Action = Callable[[Any, HttpRequest, Chosen], HttpResponse | None]


def action(bulk: Bulk) -> Action:
    """The verb as an action of a list, for those who have its permission `verbs`."""

    @admin.action(description=bulk.verb.title, permissions=["verbs"])
    def chosen(_: Any, request: HttpRequest, rows: Chosen) -> HttpResponse | None:
        return confirm(request, bulk.narrow(rows), bulk=bulk)

    chosen.__name__ = bulk.action
    return chosen


def of_runs(verb: RunVerb) -> Action:
    """Return the action of the list of runs; it leaves out runs that the verb would not change."""
    return action(Bulk(verb, verb.function, narrow=verb.narrow, notes=verb.notes))


def of_dead_letters(verb: DeadLetterVerb) -> Action:
    """The action of the list of dead letters; a discard must be given a reason."""
    form = ReasonForm if verb is verbs.DISCARD else WhyForm
    return action(Bulk(verb, verb.function, form, notes=verb.notes))


def confirm(request: HttpRequest, chosen: QuerySet[Any], *, bulk: Bulk) -> HttpResponse | None:
    """The page that asks why; once it is answered, do it, say how many were won, and return None for the list."""
    ids = _legal(chosen, bulk=bulk)
    if not ids:
        messages.warning(request, f"Nothing was changed: none of the chosen can be {bulk.verb.past} as they stand.")
        return None
    form = bulk.form(request.POST if "confirmed" in request.POST else None)
    if form.is_valid():
        won = bulk.function(ids, actor=actor_of(request, form.cleaned_data["why"]))
        _say(request, _counted(chosen, len(won)), left=len(ids) - len(won), bulk=bulk)
        for note in sentences(bulk.notes(won))[:_SHOWN_NOTES]:
            messages.info(request, note)
        return None
    context: dict[str, Any] = {
        **admin.site.each_context(request),
        "title": bulk.verb.title,
        "opts": chosen.model._meta,
        "form": form,
        "bulk": bulk,
        "counted": _counted(chosen, len(ids)),
        "at_most": preconditions.AT_ONCE if len(ids) == preconditions.AT_ONCE else 0,
        "checkbox": ACTION_CHECKBOX_NAME,
        "chosen": request.POST.getlist(ACTION_CHECKBOX_NAME),
        "across": request.POST.get("select_across", "0"),
    }
    return TemplateResponse(request, "runs/bulk.html", context)


def _legal(chosen: QuerySet[Any], *, bulk: Bulk) -> list[Any]:
    """Those in a legal state, oldest first, as many as go at once."""
    found = chosen.filter(state__in=sorted(bulk.verb.states)).order_by("pk")
    return list(found.values_list("pk", flat=True)[: preconditions.AT_ONCE])


def _say(request: HttpRequest, won: str, *, left: int, bulk: Bulk) -> None:
    if left == 0:
        messages.success(request, f"{won} {bulk.verb.past}.")
    else:
        messages.warning(request, f"{won} {bulk.verb.past}; {left} more could not be, as they stand.")


def _counted(chosen: QuerySet[Any], count: int) -> str:
    """`1 run`, `2 dead letters`."""
    names = chosen.model._meta
    return f"{count} {names.verbose_name if count == 1 else names.verbose_name_plural}"
