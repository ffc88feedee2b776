"""The admin's pages for runs: the list, and the page of a run with its timeline and the buttons of the verbs."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from unfold.decorators import display

from runs.admin import (
    bulk_actions,
    buttons,
    permissions,
    run_actions,
    send_signal,
    start_run,
    workflow_actions,
)
from runs.admin import run_page as run_page_admin
from runs.admin.base import Columns, PausedFilter, WorkflowFilter
from runs.admin.formatting import COLOURS, json_block, moment
from runs.control import verbs
from runs.control.preconditions import PAUSABLE
from runs.models import Run
from workflows.models import Workflow


@admin.register(Run)
class RunAdmin(Columns):
    """Runs, with a button to start one; the page of a run has its timeline, and buttons for the legal verbs."""

    actions = tuple(map(bulk_actions.of_runs, verbs.OVER_RUNS))
    list_display = ("key", "workflow", "version_number", "state_label", "made", "took", "error_text")
    list_filter = ("state", PausedFilter, WorkflowFilter)
    search_fields = ("id", "idempotency_key")
    search_help_text = "A run's id, or an idempotency key"
    search_texts = ("idempotency_key",)
    fields = (
        ("workflow", "version"),
        ("state_label", "idempotency_key"),
        ("priority", "gate"),
        "labels_json",
        ("created", "source"),
        ("started", "finished"),
        ("ending", "fails_at"),
        "input_json",
        "output_json",
        "error_json",
    )
    readonly_fields = (
        "workflow",
        "version",
        "state_label",
        "source",
        "idempotency_key",
        "priority",
        "gate",
        "labels_json",
        "created",
        "started",
        "finished",
        "ending",
        "fails_at",
        "input_json",
        "output_json",
        "error_json",
    )

    def search_text(self, name: str, term: str) -> Q:
        """Search for an idempotency key in all workflows, listed by id: index run_key_once begins with the workflow."""
        return super().search_text(name, term) & Q(workflow__in=list(Workflow.objects.values_list("pk", flat=True)))

    @display(description="state", ordering="state", label=COLOURS)
    def state_label(self, run: Any) -> str:
        return "paused" if run.paused_at and run.state in PAUSABLE else str(run.state)

    @admin.display(description="version")
    def version_number(self, run: Run) -> int:
        return run.version.number

    @admin.display(description="deadline")
    def fails_at(self, run: Run) -> str:
        return moment(run.deadline)

    @admin.display(description="labels")
    def labels_json(self, run: Run) -> SafeString:
        return json_block(run.labels)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, str] | None = None) -> TemplateResponse:
        """Add the start page's URL for users who may start a run; the template shows it as a button."""
        told = {"start_address": reverse("admin:runs_run_choose")} if permissions.may_start(request) else {}
        return super().changelist_view(request, {**(extra_context or {}), **told})

    def get_urls(self) -> list[URLPattern]:
        """Add the pages that start a run, and those of the verbs, as `<id>/cancel/`, to the run's own."""
        site = self.admin_site
        own = [
            path("start/", site.admin_view(start_run.choose), name="runs_run_choose"),
            path("start/<uuid:workflow_id>/", site.admin_view(start_run.start), name="runs_run_start"),
            path("<uuid:key>/signal/", site.admin_view(send_signal.send), name="runs_run_signal"),
            *(
                path(f"of/<uuid:key>/{verb.name}/", site.admin_view(page), name=f"runs_workflow_{verb.name}")
                for verb, page in workflow_actions.ARCHIVING.items()
            ),
            path("of/<uuid:key>/pause/", site.admin_view(workflow_actions.pause_workflow), name="runs_workflow_pause"),
            path(
                "of/<uuid:key>/resume/", site.admin_view(workflow_actions.resume_workflow), name="runs_workflow_resume"
            ),
            *(
                path(
                    f"<uuid:key>/{verb.name}/",
                    site.admin_view(partial(run_actions.act, verb=verb)),
                    name=f"runs_run_{verb.name}",
                )
                for verb in verbs.OVER_RUNS
            ),
            path("<uuid:key>/replay/", site.admin_view(run_actions.replay), name="runs_run_replay"),
        ]
        return [*own, *super().get_urls()]

    def has_verbs_permission(self, request: HttpRequest) -> bool:
        """Whether the user may choose the actions of the list."""
        return permissions.may_change_run(request)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Run]:
        """Leave input and output out of lists, as they may be large."""
        runs: QuerySet[Run] = super().get_queryset(request).select_related("workflow", "version")
        large = ("version__definition", "workflow__settings")
        alone = bool(request.resolver_match and request.resolver_match.kwargs)
        return runs.defer(*large) if alone else runs.defer(*large, "input", "output")

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Add the timeline, the other parts of run_page, and the buttons of the legal verbs."""
        run = kwargs.get("obj")
        told = {}
        if isinstance(run, Run):
            told = {**run_page_admin.context(run, request=request), "buttons": buttons.run_buttons(request, run)}
        answer: HttpResponse = super().render_change_form(request, {**context, **told}, *args, **kwargs)
        return answer
