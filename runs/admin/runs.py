"""The admin's pages of what runs: runs with their timeline, step runs, tickets, dead letters, processes."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display

from runs.admin import approvals, bulk_actions, run_actions, send_signal, start_run
from runs.admin import run_page as run_page_admin
from runs.admin.base import (
    COLOURS,
    PausedFilter,
    ReadOnlyAdmin,
    WorkflowFilter,
    json_block,
    moment,
    run_link,
    short_id,
    short_moment,
    short_run_link,
)
from runs.control.pauses import HELD_FROM_YEAR
from runs.control.preconditions import PAUSABLE
from runs.history.text import duration, error_line
from runs.models import Approval, DeadLetter, Process, Run, StepRun, Ticket
from workflows.models import Workflow


class Columns(ReadOnlyAdmin):
    """Columns and fields that several of the pages have."""

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


@admin.register(Run)
class RunAdmin(Columns):
    """Runs, and the timeline of each; the buttons start one, and do what is legal for it."""

    actions = ("cancel_chosen", "terminate_chosen", "pause_chosen", "resume_chosen", "retry_chosen")
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
        """A key is known within its workflow, which index run_key_once has first."""
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
        """The list; its template shows the button to those who may start a run."""
        told = {"start_address": reverse("admin:runs_run_choose")} if run_page_admin.may_start(request) else {}
        return super().changelist_view(request, {**(extra_context or {}), **told})

    def get_urls(self) -> list[URLPattern]:
        """The start pages stand beside the run's own."""
        site = self.admin_site
        own = [
            path("start/", site.admin_view(start_run.choose), name="runs_run_choose"),
            path("start/<uuid:workflow_id>/", site.admin_view(start_run.start), name="runs_run_start"),
            path("<uuid:key>/cancel/", site.admin_view(run_actions.cancel), name="runs_run_cancel"),
            path("<uuid:key>/terminate/", site.admin_view(run_actions.terminate), name="runs_run_terminate"),
            path("<uuid:key>/signal/", site.admin_view(send_signal.send), name="runs_run_signal"),
            path("<uuid:key>/pause/", site.admin_view(run_actions.pause), name="runs_run_pause"),
            path("<uuid:key>/resume/", site.admin_view(run_actions.resume), name="runs_run_resume"),
            path("of/<uuid:key>/pause/", site.admin_view(run_actions.pause_workflow), name="runs_workflow_pause"),
            path("of/<uuid:key>/resume/", site.admin_view(run_actions.resume_workflow), name="runs_workflow_resume"),
            path("<uuid:key>/retry/", site.admin_view(run_actions.retry), name="runs_run_retry"),
            path("<uuid:key>/replay/", site.admin_view(run_actions.replay), name="runs_run_replay"),
        ]
        return [*own, *super().get_urls()]

    def has_verbs_permission(self, request: HttpRequest) -> bool:
        """Who may choose an action in the list."""
        return run_actions.may_change_run(request)

    @admin.action(description="Cancel", permissions=["verbs"])
    def cancel_chosen(self, request: HttpRequest, chosen: QuerySet[Run]) -> HttpResponse | None:
        return bulk_actions.confirm(request, chosen, bulk=bulk_actions.CANCEL)

    @admin.action(description="Terminate", permissions=["verbs"])
    def terminate_chosen(self, request: HttpRequest, chosen: QuerySet[Run]) -> HttpResponse | None:
        return bulk_actions.confirm(request, chosen, bulk=bulk_actions.TERMINATE)

    @admin.action(description="Pause", permissions=["verbs"])
    def pause_chosen(self, request: HttpRequest, chosen: QuerySet[Run]) -> HttpResponse | None:
        return bulk_actions.confirm(request, chosen.filter(paused_at__isnull=True), bulk=bulk_actions.PAUSE)

    @admin.action(description="Resume", permissions=["verbs"])
    def resume_chosen(self, request: HttpRequest, chosen: QuerySet[Run]) -> HttpResponse | None:
        return bulk_actions.confirm(request, chosen.filter(paused_at__isnull=False), bulk=bulk_actions.RESUME)

    @admin.action(description="Retry", permissions=["verbs"])
    def retry_chosen(self, request: HttpRequest, chosen: QuerySet[Run]) -> HttpResponse | None:
        return bulk_actions.confirm(request, chosen, bulk=bulk_actions.RETRY)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Run]:
        """Lists do without the values, which may be large."""
        runs: QuerySet[Run] = super().get_queryset(request).select_related("workflow", "version")
        large = ("version__definition", "workflow__settings")
        alone = bool(request.resolver_match and request.resolver_match.kwargs)
        return runs.defer(*large) if alone else runs.defer(*large, "input", "output")

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """The page, with what happened in the run."""
        run = kwargs.get("obj")
        told = {}
        if isinstance(run, Run):
            told = {**run_page_admin.context(run, request=request), "buttons": run_actions.run_buttons(request, run)}
        answer: HttpResponse = super().render_change_form(request, {**context, **told}, *args, **kwargs)
        return answer


@admin.register(StepRun)
class StepRunAdmin(Columns):
    """Steps of all runs that something happened to."""

    list_display = ("step", "index", "short_run", "state_label", "attempt", "started", "took", "error_text")
    list_filter = ("state",)
    # Not by the step's name: no index has it first, and rows of all runs are many.
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
        """Lists do without the values, which may be large."""
        rows: QuerySet[StepRun] = super().get_queryset(request)
        alone = bool(request.resolver_match and request.resolver_match.kwargs)
        return rows if alone else rows.defer("input", "config", "output", "attempts")


@admin.register(Ticket)
class TicketAdmin(Columns):
    """Where work is left to do, and when it is due."""

    list_display = ("head", "short_run", "due", "next_knock", "sends", "suspect")
    list_filter = ("suspect",)
    search_fields = ("run",)
    search_help_text = "A run's id"
    search_ids = ("run_id",)
    fields = readonly_fields = ("run_page", "head", "item", "due", "next_knock", "sends", "suspect")

    @admin.display(description="due", ordering="due_at")
    def due(self, ticket: Ticket) -> str:
        return "when its run is resumed" if ticket.due_at.year >= HELD_FROM_YEAR else moment(ticket.due_at)

    @admin.display(description="next knock", ordering="knock_at")
    def next_knock(self, ticket: Ticket) -> str:
        return "when its run is resumed" if ticket.knock_at.year >= HELD_FROM_YEAR else moment(ticket.knock_at)


@admin.register(DeadLetter)
class DeadLetterAdmin(Columns):
    """Steps that gave up, with what they were given; the buttons let them go on, or close them."""

    actions = ("retry_chosen", "discard_chosen")
    list_display = ("step", "workflow_name", "short_run", "state_label", "reason", "error_text", "made")
    list_filter = ("state", WorkflowFilter)
    list_select_related = ("workflow",)
    search_fields = ("id", "run")
    search_help_text = "A dead letter's id, or its run's"
    search_ids = ("id", "run_id")
    fields = readonly_fields = (
        "run_page", "workflow_name", "step", "state_label", "reason", "created", "resolved_at", "resolved_by",
        "resolution", "error_json", "input_json", "config_json", "attempts_json",
    )  # fmt: skip

    @admin.display(description="workflow")
    def workflow_name(self, letter: DeadLetter) -> str:
        return letter.workflow.name

    def get_urls(self) -> list[URLPattern]:
        """The pages of the verbs stand beside the letter's own."""
        site = self.admin_site
        own = [
            path("<uuid:key>/retry/", site.admin_view(run_actions.retry_letter), name="runs_deadletter_retry"),
            path("<uuid:key>/edit/", site.admin_view(run_actions.edit_letter), name="runs_deadletter_edit"),
            path("<uuid:key>/discard/", site.admin_view(run_actions.discard), name="runs_deadletter_discard"),
        ]
        return [*own, *super().get_urls()]

    def has_verbs_permission(self, request: HttpRequest) -> bool:
        """Who may choose an action in the list."""
        return run_actions.may_change_letter(request)

    @admin.action(description="Retry", permissions=["verbs"])
    def retry_chosen(self, request: HttpRequest, chosen: QuerySet[DeadLetter]) -> HttpResponse | None:
        return bulk_actions.confirm(request, chosen, bulk=bulk_actions.RETRY_LETTERS)

    @admin.action(description="Discard", permissions=["verbs"])
    def discard_chosen(self, request: HttpRequest, chosen: QuerySet[DeadLetter]) -> HttpResponse | None:
        return bulk_actions.confirm(request, chosen, bulk=bulk_actions.DISCARD)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """The page, with the verbs that are legal."""
        letter = kwargs.get("obj")
        told = {"buttons": run_actions.letter_buttons(request, letter)} if isinstance(letter, DeadLetter) else {}
        answer: HttpResponse = super().render_change_form(request, {**context, **told}, *args, **kwargs)
        return answer

    def get_queryset(self, request: HttpRequest) -> QuerySet[DeadLetter]:
        """Lists do without the values, which may be large."""
        letters: QuerySet[DeadLetter] = super().get_queryset(request)
        letters = letters.select_related("workflow").defer("workflow__settings")
        alone = bool(request.resolver_match and request.resolver_match.kwargs)
        if alone:
            return letters.select_related("run").defer("run__input", "run__output")
        return letters.defer("input", "config", "attempts")


@admin.register(Process)
class ProcessAdmin(Columns):
    """Worker processes and their leases."""

    list_display = ("key", "host", "pid", "lives", "started", "expires")
    ordering = ("-expires_at",)
    search_fields = ("id", "host")
    search_help_text = "A process's id, or a host"
    search_texts = ("host",)
    fields = readonly_fields = ("id", "host", "pid", "lives", "started", "expires")

    @admin.display(description="alive", boolean=True)
    def lives(self, process: Process) -> bool:
        return process.expires_at > timezone.now()

    @admin.display(description="lease until", ordering="expires_at")
    def expires(self, process: Process) -> str:
        return moment(process.expires_at)


admin.site.register(Approval, approvals.ApprovalAdmin)
