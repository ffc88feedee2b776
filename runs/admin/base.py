"""The base classes of the admin's pages for runs: read-only, with lists of bounded cost, and shared columns."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.decorators import display

from runs.admin import permissions
from runs.admin.formatting import COLOURS, json_block, moment, run_link, short_id, short_moment, short_run_link
from runs.control.preconditions import PAUSABLE
from runs.history import masking
from runs.history.words import duration, error_line
from workflows.admin.base import AsksPermissions
from workflows.models import Workflow

COUNTED_ROWS = 10_000
OFFERED_WORKFLOWS = 50


if TYPE_CHECKING:
    _Paginator = Paginator[Any]
else:
    # Paginator can be subscripted in type stubs only, not at run time.
    _Paginator = Paginator


class BoundedPaginator(_Paginator):
    """Stops counting at 10,000 rows, so that the cost of a list does not grow with the table."""

    @cached_property
    def count(self) -> int:
        """The number of rows, at most COUNTED_ROWS."""
        rows = self.object_list
        return rows.order_by()[:COUNTED_ROWS].count() if isinstance(rows, QuerySet) else len(rows)


class ReadOnlyAdmin(AsksPermissions, ModelAdmin):  # type: ignore[misc]  # bases of unfold's that differ
    """The page of rows that only the engine writes.

    The search finds rows by the UUID columns in `search_ids`, and by exact match in the columns of `search_texts`.
    """

    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    ordering: ClassVar[Any] = ("-id",)
    search_ids: ClassVar[tuple[str, ...]] = ("id",)
    search_texts: ClassVar[tuple[str, ...]] = ()
    actions: Sequence[Any] | None = None

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Filter by exactly this id or text. Django's search for a part of a text would read the whole table."""
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
        """Return the condition that this column equals the text."""
        return Q(**{name: term})

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Return the row of a page, with secrets masked for those who may not edit the workflow. It is never saved."""
        row = super().get_object(request, object_id, from_field)
        return row if row is None or permissions.sees_secrets(request) else masking.row(row)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class PausedFilter(admin.SimpleListFilter):
    """A filter for runs that are paused now: not those that ended while paused, though they keep their `paused_at`."""

    title = "paused"
    parameter_name = "paused"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Paused")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Filter for paused runs if the filter is set to `yes`."""
        if self.value() != "yes":
            return queryset
        return queryset.filter(paused_at__isnull=False, state__in=sorted(PAUSABLE))


class WorkflowFilter(admin.SimpleListFilter):
    """A filter by workflow. It offers the first OFFERED_WORKFLOWS by name; a link can choose any other."""

    title = "workflow"
    parameter_name = "workflow"
    path: ClassVar[str] = "workflow_id"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return (id, name) of the workflows to offer and of the chosen one: one query, or two if it is not offered."""
        known = Workflow.objects.order_by("name").values_list("id", "name")
        found = [(str(key), name) for key, name in known[:OFFERED_WORKFLOWS]]
        chosen = self.used_parameters.get(self.parameter_name)
        if (key := _uuid(chosen)) is not None and str(key) not in dict(found):
            found += [(str(other), name) for other, name in known.filter(pk=key)]
        return found

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Filter for the chosen workflow; all rows if none is chosen, no rows if the id is invalid."""
        chosen = self.value()
        if chosen is None:
            return queryset
        key = _uuid(chosen)
        return queryset.filter(**{self.path: key}) if key is not None else queryset.none()


class RunsWorkflowFilter(WorkflowFilter):
    """A filter by workflow for rows that belong to a run, as step runs do."""

    path = "run__workflow_id"


def _uuid(text: Any) -> UUID | None:
    try:
        return UUID(str(text[0] if isinstance(text, list) else text))
    except (ValueError, IndexError):
        return None


class Columns(ReadOnlyAdmin):
    """Columns and fields that several pages share."""

    class Media:
        css: ClassVar = {"all": ["runs/runs.css"]}

    @display(description="state", ordering="state", label=COLOURS)
    def state_label(self, row: Any) -> str:
        return str(row.state)

    @admin.display(description="run", ordering="run")
    def run_page(self, row: Any) -> SafeString:
        return run_link(row.run_id)

    @admin.display(description="id", ordering="id")
    def key(self, row: Any) -> SafeString:
        return short_id(row.pk)

    @admin.display(description="run", ordering="run")
    def short_run(self, row: Any) -> SafeString:
        return short_run_link(row.run_id)

    @admin.display(description="created (UTC)", ordering="id")
    def made(self, row: Any) -> SafeString:
        return short_moment(row.created_at)

    @admin.display(description="created", ordering="id")
    def created(self, row: Any) -> str:
        return moment(row.created_at)

    @admin.display(description="started", ordering="started_at")
    def started(self, row: Any) -> str:
        return moment(row.started_at)

    @admin.display(description="finished", ordering="finished_at")
    def finished(self, row: Any) -> str:
        return moment(row.finished_at)

    @admin.display(description="duration")
    def took(self, row: Any) -> str:
        return duration(row.started_at, row.finished_at)

    @admin.display(description="input")
    def input_json(self, row: Any) -> SafeString:
        return json_block(row.input)

    @admin.display(description="config")
    def config_json(self, row: Any) -> SafeString:
        return json_block(row.config)

    @admin.display(description="output")
    def output_json(self, row: Any) -> SafeString:
        return json_block(row.output)

    @admin.display(description="error")
    def error_json(self, row: Any) -> SafeString:
        return json_block(row.error)

    @admin.display(description="attempts that did not succeed")
    def attempts_json(self, row: Any) -> SafeString:
        return json_block(row.attempts)

    @admin.display(description="error")
    def error_text(self, row: Any) -> SafeString | str:
        if row.error is None:
            return "-"
        line = error_line(row.error)
        return format_html('<span title="{}">{}{}</span>', line[:2000], line[:160], "…" if len(line) > 160 else "")
