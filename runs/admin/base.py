"""What the admin's pages of runs share: read-only pages, lists of fixed cost, coloured states, JSON, times."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin

from actions.base import Json
from runs.control.preconditions import PAUSABLE
from workflows.models import Workflow

# Longer values are cut on the page; the API and `show_run --json` tell them whole.
SHOWN_CHARACTERS = 20_000
COUNTED_ROWS = 10_000
OFFERED_WORKFLOWS = 50

# State -> the theme's colour; what is not here is grey.
COLOURS = {
    "succeeded": "success",
    "running": "info",
    "queued": "info",
    "compensating": "info",
    "waiting": "warning",
    "paused": "warning",
    "retrying": "warning",
    "open": "warning",
    "failed": "danger",
}


if TYPE_CHECKING:
    _Paginator = Paginator[Any]
else:
    # Generic for the type checker only.
    _Paginator = Paginator


class BoundedPaginator(_Paginator):
    """Counts to ten thousand and no further, so that a list costs the same however many rows there are."""

    @cached_property
    def count(self) -> int:
        """Rows, at most COUNTED_ROWS."""
        rows = self.object_list
        return rows.order_by()[:COUNTED_ROWS].count() if isinstance(rows, QuerySet) else len(rows)


class ReadOnlyAdmin(ModelAdmin):
    """Rows that only the engine writes. `search_ids` are found by an id, `search_texts` by an exact text."""

    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    ordering: ClassVar[Any] = ("-id",)
    search_ids: ClassVar[tuple[str, ...]] = ("id",)
    search_texts: ClassVar[tuple[str, ...]] = ()
    actions: Sequence[str] | None = None

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Rows with exactly this id or text: a search inside texts would read the whole table."""
        term = search_term.strip()
        if not term:
            return queryset, False
        wanted = Q(pk__in=[])
        for name in self.search_texts:
            wanted |= self.search_text(name, term)
        try:
            key = UUID(term)
        except ValueError:
            return queryset.filter(wanted), False
        for name in self.search_ids:
            wanted |= Q(**{name: key})
        return queryset.filter(wanted), False

    def search_text(self, name: str, term: str) -> Q:
        """What finds the rows where this column has exactly this text."""
        return Q(**{name: term})

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class PausedFilter(admin.SimpleListFilter):
    """Runs that are paused now. One that ended while it was paused keeps the time of it."""

    title = "paused"
    parameter_name = "paused"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Paused")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """The paused ones, where they are asked for."""
        if self.value() != "yes":
            return queryset
        return queryset.filter(paused_at__isnull=False, state__in=sorted(PAUSABLE))


class WorkflowFilter(admin.SimpleListFilter):
    """By workflow: the first ones by name, and the one that is chosen. A link from elsewhere may choose any."""

    title = "workflow"
    parameter_name = "workflow"
    path: ClassVar[str] = "workflow_id"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """(id, name), in one query."""
        known = Workflow.objects.order_by("name").values_list("id", "name")
        found = [(str(key), name) for key, name in known[:OFFERED_WORKFLOWS]]
        chosen = self.used_parameters.get(self.parameter_name)
        if (key := _uuid(chosen)) is not None and str(key) not in dict(found):
            found += [(str(other), name) for other, name in known.filter(pk=key)]
        return found

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """The rows of the chosen workflow."""
        chosen = self.value()
        if chosen is None:
            return queryset
        key = _uuid(chosen)
        return queryset.filter(**{self.path: key}) if key is not None else queryset.none()


class RunsWorkflowFilter(WorkflowFilter):
    """By the workflow of the row's run."""

    path = "run__workflow_id"


def colour(state: str) -> str:
    """The theme's name for a state's colour."""
    return COLOURS.get(state, "default")


def moment(value: datetime | None) -> str:
    """A time to the millisecond, in UTC."""
    if value is None:
        return "-"
    return value.astimezone(UTC).isoformat(sep=" ", timespec="milliseconds").replace("+00:00", " UTC")


def short_moment(value: datetime | None) -> SafeString:
    """A time as lists show it, to the second, in UTC; the title has the whole."""
    text = moment(value)
    return format_html('<span class="sw-id" title="{}">{}</span>', text, text[:19])


def json_text(value: Json) -> str:
    """The value as indented JSON, cut where it is very long."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    if len(text) <= SHOWN_CHARACTERS:
        return text
    return f"{text[:SHOWN_CHARACTERS]}\n... cut; {len(text):,} characters in all, the API tells them whole"


def json_block(value: Json) -> SafeString:
    """The value as escaped, indented JSON on a page."""
    return format_html('<pre class="sw-json">{}</pre>', json_text(value))


def run_link(run_id: UUID) -> SafeString:
    """A link to a run's page, by its id."""
    address = reverse("admin:runs_run_change", args=[run_id])
    return format_html('<a class="sw-link" href="{}">{}</a>', address, run_id)


def short_id(key: UUID) -> SafeString:
    """An id as lists show it: how it begins (when it was made) and how it ends; the title has the whole."""
    text = str(key)
    return format_html('<span class="sw-id" title="{}">{}…{}</span>', text, text[:8], text[-4:])


def short_run_link(run_id: UUID) -> SafeString:
    """The same link as lists show it."""
    address = reverse("admin:runs_run_change", args=[run_id])
    return format_html('<a class="sw-link" href="{}">{}</a>', address, short_id(run_id))


def _uuid(text: Any) -> UUID | None:
    try:
        return UUID(str(text[0] if isinstance(text, list) else text))
    except (ValueError, IndexError):
        return None
