"""The admin's pages for step runs."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from runs.admin.base import Columns
from runs.models import StepRun


@admin.register(StepRun)
class StepRunAdmin(Columns):
    """The steps of all runs that have a row: all but those that are pending."""

    list_display = ("step", "index", "short_run", "state_label", "attempt", "started", "took", "error_text")
    list_filter = ("state",)
    # No search by step id: no index begins with it, so the search would read the rows of all runs.
    search_fields = ("run",)
    search_help_text = "A run's id"
    search_ids = ("run_id",)
    fields = readonly_fields = (
        "run_page", "step", "index", "state_label", "attempt", "started", "finished", "signal", "signal_key", "wake_at",
        "process", "deadline",
        "input_json", "config_json", "output_json", "error_json", "attempts_json",
    )  # fmt: skip

    @admin.display(description="item", ordering="item")
    def index(self, row: StepRun) -> str:
        return "-" if row.item < 0 else str(row.item)

    def get_queryset(self, request: HttpRequest) -> QuerySet[StepRun]:
        """Leave input, config, output and attempts out of lists, as they may be large."""
        rows: QuerySet[StepRun] = super().get_queryset(request)
        alone = bool(request.resolver_match and request.resolver_match.kwargs)
        return rows if alone else rows.defer("input", "config", "output", "attempts")
