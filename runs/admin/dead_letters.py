"""The admin's pages for dead letters."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path

from runs.admin import (
    bulk_actions,
    buttons,
    dead_letter_actions,
    permissions,
)
from runs.admin.base import Columns, WorkflowFilter
from runs.control import verbs
from runs.models import DeadLetter


@admin.register(DeadLetter)
class DeadLetterAdmin(Columns):
    """Dead letters: steps that failed for good, with their input and config. Buttons retry or discard them."""

    actions = tuple(map(bulk_actions.of_dead_letters, verbs.OVER_DEAD_LETTERS))
    list_display = ("failed_at", "workflow_name", "short_run", "state_label", "reason", "error_text", "made")
    list_filter = ("state", WorkflowFilter)
    list_select_related = ("workflow",)
    search_fields = ("id", "run")
    search_help_text = "A dead letter's id, or its run's"
    search_ids = ("id", "run_id")
    fields = readonly_fields = (
        "run_page", "workflow_name", "failed_at", "state_label", "reason", "created", "resolved_at", "resolved_by",
        "resolution", "error_json", "input_json", "config_json", "attempts_json",
    )  # fmt: skip

    @admin.display(description="step", ordering="step")
    def failed_at(self, dead_letter: DeadLetter) -> str:
        return dead_letter.place

    @admin.display(description="workflow")
    def workflow_name(self, dead_letter: DeadLetter) -> str:
        return dead_letter.workflow.name

    def get_urls(self) -> list[URLPattern]:
        """Add the pages of the verbs, as `<id>/retry/`, to the dead letter's own."""
        site = self.admin_site
        own = [
            path(
                "<uuid:key>/retry/",
                site.admin_view(dead_letter_actions.retry_dead_letter),
                name="runs_deadletter_retry",
            ),
            path(
                "<uuid:key>/edit/", site.admin_view(dead_letter_actions.edit_dead_letter), name="runs_deadletter_edit"
            ),
            path("<uuid:key>/discard/", site.admin_view(dead_letter_actions.discard), name="runs_deadletter_discard"),
        ]
        return [*own, *super().get_urls()]

    def has_verbs_permission(self, request: HttpRequest) -> bool:
        """Whether the user may choose the actions of the list."""
        return permissions.may_change_dead_letter(request)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Add the buttons of the verbs that are legal in the dead letter's state."""
        dead_letter = kwargs.get("obj")
        told = (
            {"buttons": buttons.dead_letter_buttons(request, dead_letter)}
            if isinstance(dead_letter, DeadLetter)
            else {}
        )
        answer: HttpResponse = super().render_change_form(request, {**context, **told}, *args, **kwargs)
        return answer

    def get_queryset(self, request: HttpRequest) -> QuerySet[DeadLetter]:
        """Leave input, config and attempts out of lists, as they may be large."""
        letters: QuerySet[DeadLetter] = super().get_queryset(request)
        letters = letters.select_related("workflow").defer("workflow__settings")
        alone = bool(request.resolver_match and request.resolver_match.kwargs)
        if alone:
            return letters.select_related("run").defer("run__input", "run__output")
        return letters.defer("input", "config", "attempts")
