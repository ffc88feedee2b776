"""The admin's pages of steps that wait for approval: the list to find them, and the pages that decide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString

from actions.catalogue.approval import SIGNAL
from runs.admin import bulk_actions
from runs.admin.base import ReadOnlyAdmin, RunsWorkflowFilter, moment, run_link, short_run_link
from runs.admin.bulk_actions import Bulk
from runs.admin.confirmation import Page, ask, refused
from runs.admin.run_actions import Button, may_change_run, require_change_run, run_page
from runs.control import approvals
from runs.control.approvals import Decision
from runs.domain.actor import Hand
from runs.domain.outcomes import Place
from runs.domain.states import StepState
from runs.models import Approval, StepRun

SHOWN_QUESTION = 200
_SLIM = ("input", "output", "error", "attempts", "run__input", "run__output", "run__workflow__settings")


def buttons(request: HttpRequest, row: int, *, approvers: Sequence[str]) -> list[Button]:
    """Approve and Reject, for those who may."""
    if not may_change_run(request) or (approvers and request.user.get_username() not in approvers):
        return []
    return [
        Button("Approve", reverse("admin:runs_approval_approve", args=[row]), "check"),
        Button("Reject", reverse("admin:runs_approval_reject", args=[row]), "close"),
    ]


def approve(request: HttpRequest, key: int) -> HttpResponse:
    """Approve the step."""
    return _decide(request, key, approved=True)


def reject(request: HttpRequest, key: int) -> HttpResponse:
    """Reject the step."""
    return _decide(request, key, approved=False)


class ApprovalAdmin(ReadOnlyAdmin):
    """Steps of all runs that wait for approval."""

    actions = ("approve_chosen", "reject_chosen")
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
        """Those that wait, without values that may be large."""
        rows: QuerySet[Approval] = super().get_queryset(request)
        waiting: QuerySet[Any] = approvals.pending(rows)
        return waiting.select_related("run__workflow").defer(*_SLIM)

    def get_urls(self) -> list[URLPattern]:
        """The pages of the verbs stand beside the row's own."""
        site = self.admin_site
        own = [
            path("<int:key>/approve/", site.admin_view(approve), name="runs_approval_approve"),
            path("<int:key>/reject/", site.admin_view(reject), name="runs_approval_reject"),
        ]
        return [*own, *super().get_urls()]

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever may see steps may see those that wait."""
        return bool(request.user.has_perm("runs.view_steprun") or request.user.has_perm("runs.view_approval"))

    def has_verbs_permission(self, request: HttpRequest) -> bool:
        """Who may choose an action in the list."""
        return may_change_run(request)

    @admin.action(description="Approve", permissions=["verbs"])
    def approve_chosen(self, request: HttpRequest, chosen: QuerySet[Any]) -> HttpResponse | None:
        return bulk_actions.confirm(request, chosen, bulk=APPROVE)

    @admin.action(description="Reject", permissions=["verbs"])
    def reject_chosen(self, request: HttpRequest, chosen: QuerySet[Any]) -> HttpResponse | None:
        return bulk_actions.confirm(request, chosen, bulk=REJECT)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """The page, with the two buttons."""
        row = kwargs.get("obj")
        asked = approvals.asked(row) if isinstance(row, StepRun) else None
        told = {"buttons": buttons(request, row.pk, approvers=asked.approvers if asked else ())} if row else {}
        answer: HttpResponse = super().render_change_form(request, {**context, **told}, *args, **kwargs)
        return answer


def _decide(request: HttpRequest, key: int, *, approved: bool) -> HttpResponse:
    require_change_run(request)
    row = _row(key)
    place, name = (row.run_id, row.step, row.item), request.user.get_username()
    back = run_page(row.run_id)
    if row.state != StepState.WAITING or row.signal != SIGNAL or not approvals.may_decide(row, name):
        return refused(request, approvals.cannot_decide(row, step=row.step, username=name), to=back)
    page = _page(row, verb="Approve" if approved else "Reject", back=back)
    decision = Decision(approved, by=name, username=name, attempt=row.attempt)
    return ask(
        request,
        page,
        verb=lambda hand: approvals.decide([place], decision=decision, hand=hand),
        done=lambda _: f"Step {row.step} is {'approved' if approved else 'rejected'}.",
        refusal=lambda: approvals.cannot_decide(_row(key), step=row.step, username=name),
    )


def _page(row: StepRun, *, verb: str, back: str) -> Page:
    asked = approvals.asked(row)
    return Page(
        of=Approval,
        verb=verb,
        name=row.step,
        detail=f"of {row.run.workflow.name}, run {row.run_id}",
        state=row.state,
        says=asked.message if asked else "",
        back=back,
        danger=verb == "Reject",
    )


def _row(key: int) -> StepRun:
    return get_object_or_404(StepRun.objects.select_related("run__workflow").defer(*_SLIM), pk=key)


def _decide_rows(rows: Sequence[int], *, approved: bool, hand: Hand) -> frozenset[Place]:
    """Decide about the steps of these rows as the hand's user; answers those that were won."""
    name = get_user_model().objects.get(pk=hand.user_id or 0).get_username()
    places = StepRun.objects.filter(pk__in=rows).values_list("run_id", "step", "item")
    return approvals.decide(list(places), decision=Decision(approved, by=name, username=name), hand=hand)


def _approve_rows(ids: Sequence[Any], /, *, hand: Hand) -> frozenset[Any]:
    return _decide_rows(ids, approved=True, hand=hand)


def _reject_rows(ids: Sequence[Any], /, *, hand: Hand) -> frozenset[Any]:
    return _decide_rows(ids, approved=False, hand=hand)


_WAITING = frozenset({StepState.WAITING})
APPROVE = Bulk(
    "approve_chosen",
    "Approve",
    "approved",
    "These steps are approved, and their runs go on. Those that others must decide about are left.",
    _WAITING,
    _approve_rows,
)
REJECT = Bulk(
    "reject_chosen",
    "Reject",
    "rejected",
    "These steps are rejected; unless their workflow says otherwise, they fail. Those of others are left.",
    _WAITING,
    _reject_rows,
    danger=True,
)
