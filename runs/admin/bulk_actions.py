"""The admin's verbs over the rows chosen in a list: those in a legal state only, after a page that asks why."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from runs.admin.confirmation import actor_of
from runs.admin.forms import ReasonForm, WhyForm
from runs.control import dead_letters, pauses, preconditions, retries, stops
from runs.domain.actor import Actor


class Verb(Protocol):
    """A control verb over a set."""

    def __call__(self, ids: Sequence[Any], /, *, actor: Actor) -> frozenset[Any]:
        """Answers those that it won."""
        ...


@dataclass(frozen=True)
class Bulk:
    """A verb as the list offers it. `action` is the method's name, `done` the participle for the message."""

    action: str
    title: str
    done: str
    says: str
    legal: Collection[str]
    verb: Verb
    form: type[WhyForm | ReasonForm] = WhyForm
    danger: bool = False


CANCEL = Bulk(
    "cancel_chosen",
    "Cancel",
    "cancelled",
    "These runs are stopped. Running steps are told, and their outcome is written; only `finally` steps follow.",
    preconditions.CANCELLABLE,
    stops.cancel,
    danger=True,
)
TERMINATE = Bulk(
    "terminate_chosen",
    "Terminate",
    "terminated",
    "These runs end at once: no compensation, `on_failure` or `finally` follows or goes on.",
    preconditions.TERMINABLE,
    stops.terminate,
    danger=True,
)
PAUSE = Bulk(
    "pause_chosen",
    "Pause",
    "paused",
    "Nothing of these runs is begun until they are resumed. Steps that are running run on; what follows them is held.",
    preconditions.PAUSABLE,
    pauses.pause,
)
RESUME = Bulk(
    "resume_chosen",
    "Resume",
    "resumed",
    "These runs go on where they were held; a retry when it would have been due.",
    preconditions.PAUSABLE,
    pauses.resume,
)
RETRY = Bulk(
    "retry_chosen",
    "Retry",
    "retried",
    "These failed runs go on from their failed steps, with the inputs that the steps had.",
    preconditions.RETRYABLE,
    retries.retry,
)
RETRY_DEAD_LETTERS = Bulk(
    "retry_chosen",
    "Retry",
    "retried",
    "The runs of these dead letters go on from their steps, with the inputs that the steps had.",
    preconditions.OPEN,
    dead_letters.retry,
)
DISCARD = Bulk(
    "discard_chosen",
    "Discard",
    "discarded",
    "These dead letters are closed for good. Their runs stay as they are.",
    preconditions.OPEN,
    dead_letters.discard,
    ReasonForm,
    danger=True,
)


def confirm(request: HttpRequest, chosen: QuerySet[Any], *, bulk: Bulk) -> HttpResponse | None:
    """The page that asks why; once it is answered, do it, say how many were won, and return None for the list."""
    ids = _legal(chosen, bulk=bulk)
    if not ids:
        messages.warning(request, f"Nothing was changed: none of the chosen can be {bulk.done} as they stand.")
        return None
    form = bulk.form(request.POST if "confirmed" in request.POST else None)
    if form.is_valid():
        won = bulk.verb(ids, actor=actor_of(request, form.cleaned_data["why"]))
        _say(request, _counted(chosen, len(won)), left=len(ids) - len(won), bulk=bulk)
        return None
    context: dict[str, Any] = {
        **admin.site.each_context(request),
        "title": bulk.title,
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
    found = chosen.filter(state__in=sorted(bulk.legal)).order_by("pk")
    return list(found.values_list("pk", flat=True)[: preconditions.AT_ONCE])


def _say(request: HttpRequest, won: str, *, left: int, bulk: Bulk) -> None:
    if left == 0:
        messages.success(request, f"{won} {bulk.done}.")
    else:
        messages.warning(request, f"{won} {bulk.done}; {left} more could not be, as they stand.")


def _counted(chosen: QuerySet[Any], count: int) -> str:
    """`1 run`, `2 dead letters`."""
    names = chosen.model._meta
    return f"{count} {names.verbose_name if count == 1 else names.verbose_name_plural}"
