"""The admin's pages for steps that wait for approval: the list, its bulk actions, and the page of one step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils.safestring import SafeString

from runs.admin import bulk_actions
from runs.admin.approval_actions import WAITING_COLUMNS, approve, reject
from runs.admin.base import ReadOnlyAdmin, RunsWorkflowFilter
from runs.admin.bulk_actions import Bulk
from runs.admin.buttons import approval_buttons
from runs.admin.formatting import moment, run_link, short_run_link
from runs.admin.permissions import may_change_run
from runs.control import approvals, verbs
from runs.control.approvals import Decision
from runs.domain.actor import Actor
from runs.domain.outcomes import StepKey
from runs.models import Approval, StepRun
from workflows.workspaces.permissions import has_permission

SHOWN_QUESTION = 200


def _decide_rows(rows: Sequence[int], *, approved: bool, actor: Actor) -> frozenset[StepKey]:
    """Approve or reject the steps of these rows as the actor's user. Return the steps that this call decided."""
    name = get_user_model().objects.get(pk=actor.user_id or 0).get_username()
    step_keys = StepRun.objects.filter(pk__in=rows).values_list("run_id", "step", "item")
    return approvals.decide(list(step_keys), decision=Decision(approved, by=name, username=name), actor=actor)


def _approve_rows(ids: Sequence[Any], /, *, actor: Actor) -> frozenset[Any]:
    return _decide_rows(ids, approved=True, actor=actor)


def _reject_rows(ids: Sequence[Any], /, *, actor: Actor) -> frozenset[Any]:
    return _decide_rows(ids, approved=False, actor=actor)


@admin.register(Approval)
class ApprovalAdmin(ReadOnlyAdmin):
    """Steps of all runs that wait for approval."""

    actions = (
        bulk_actions.action(Bulk(verbs.APPROVE, _approve_rows)),
        bulk_actions.action(Bulk(verbs.REJECT, _reject_rows)),
    )
    list_display = ("step", "workflow_name", "short_run", "question", "approvers", "since", "until")
    list_filter = (RunsWorkflowFilter,)
    search_fields = ("run", "step")
    search_help_text = "A run's id, or a step's"
    search_ids = ("run_id",)
    search_texts = ("step",)
    fields = readonly_fields = ("question", "workflow_name", "run_page", "step", "approvers", "since", "until")

    class Media:
        css: ClassVar = {"all": ["runs/runs.css"]}

    @admin.display(description="workflow")
    def workflow_name(self, row: Approval) -> str:
        return row.run.workflow.name

    @admin.display(description="run")
    def run_page(self, row: Approval) -> SafeString:
        return run_link(row.run_id)

    @admin.display(description="run")
    def short_run(self, row: Approval) -> SafeString:
        return short_run_link(row.run_id)

    @admin.display(description="question")
    def question(self, row: Approval) -> str:
        asked = approvals.asked(row)
        return asked.message[:SHOWN_QUESTION] if asked else "-"

    @admin.display(description="may decide")
    def approvers(self, row: Approval) -> str:
        asked = approvals.asked(row)
        return ", ".join(asked.approvers) if asked and asked.approvers else "everybody who may change runs"

    @admin.display(description="since", ordering="started_at")
    def since(self, row: Approval) -> str:
        return moment(row.started_at)

    @admin.display(description="until")
    def until(self, row: Approval) -> str:
        return moment(row.wake_at) if row.wake_at else "somebody decides"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Approval]:
        """Return the steps that wait for approval, without columns that may be large."""
        rows: QuerySet[Approval] = super().get_queryset(request)
        waiting: QuerySet[Any] = approvals.pending(rows)
        return waiting.select_related("run__workflow").defer(*WAITING_COLUMNS)

    def get_urls(self) -> list[URLPattern]:
        """Add the pages of the verbs, `<id>/approve/` and `<id>/reject/`, to the row's own."""
        site = self.admin_site
        own = [
            path("<int:key>/approve/", site.admin_view(approve), name="runs_approval_approve"),
            path("<int:key>/reject/", site.admin_view(reject), name="runs_approval_reject"),
        ]
        return [*own, *super().get_urls()]

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Permit also users who may view step runs, since approvals are step runs."""
        return any(has_permission(request.user, "view", model) for model in (StepRun, Approval))

    def has_verbs_permission(self, request: HttpRequest) -> bool:
        """Whether the user may choose the actions of the list."""
        return may_change_run(request)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Add the buttons Approve and Reject."""
        row = kwargs.get("obj")
        asked = approvals.asked(row) if isinstance(row, StepRun) else None
        told = {"buttons": approval_buttons(request, row.pk, approvers=asked.approvers if asked else ())} if row else {}
        answer: HttpResponse = super().render_change_form(request, {**context, **told}, *args, **kwargs)
        return answer
