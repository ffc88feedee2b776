"""What the buttons of a workflow do: hold its runs or let them go on, archive, restore and delete it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse

from runs.admin.confirmation import Page, actor_of, ask, filled, refused, show, succeeded
from runs.admin.permissions import ARCHIVE, CHANGE_RUNS, require
from runs.control import archives, pauses, verbs
from runs.control.archives import CannotArchive
from runs.control.verbs import Verb
from runs.models import Run
from workflows.models import Workflow
from workflows.publishing.references import referring
from workflows.workspaces.permissions import Way


def pause_workflow(request: HttpRequest, key: UUID) -> HttpResponse:
    """Hold the workflow's runs, those to come included."""
    workflow = _workflow(request, key)
    return ask(
        request,
        _of_workflow(workflow, verb=verbs.PAUSE_WORKFLOW.title, says=verbs.PAUSE_WORKFLOW.does),
        verb=lambda actor: pauses.pause_workflow(workflow, actor=actor),
        done=lambda count: f"The workflow is paused; {_runs_were(count)} held.",
    )


def resume_workflow(request: HttpRequest, key: UUID) -> HttpResponse:
    """Let the workflow's runs go on."""
    workflow = _workflow(request, key)
    return ask(
        request,
        _of_workflow(workflow, verb=verbs.RESUME_WORKFLOW.title, says=verbs.RESUME_WORKFLOW.does),
        verb=lambda actor: pauses.resume_workflow(workflow, actor=actor),
        done=lambda count: f"The workflow is resumed; {_runs_were(count)} let go.",
    )


def _archiving(verb: Verb, *, does: Callable[..., str]) -> Callable[[HttpRequest, UUID], HttpResponse]:
    """The page of one of the verbs that archive, restore and delete."""

    def page(request: HttpRequest, key: UUID) -> HttpResponse:
        workflow = _workflow(request, key, way=ARCHIVE)
        names = referring(workflow) if verb is not verbs.RESTORE_WORKFLOW else []
        more = f" It is started by {', '.join(names)}, whose steps fail from then on." if names else ""
        asked = _of_workflow(workflow, verb=verb.title, says=verb.does + more, danger=verb.dangerous)
        form = filled(request, asked)
        if not form.is_valid():
            return show(request, form, asked)
        try:
            said = does(workflow, actor=actor_of(request, form.cleaned_data["why"]))
        except CannotArchive as refusal:
            return refused(request, str(refusal), to=asked.back)
        gone = verb is verbs.DELETE_WORKFLOW
        return succeeded(request, said, to=reverse("admin:workflows_workflow_changelist") if gone else asked.back)

    return page


ARCHIVING = {
    verbs.ARCHIVE_WORKFLOW: _archiving(verbs.ARCHIVE_WORKFLOW, does=archives.archive),
    verbs.RESTORE_WORKFLOW: _archiving(verbs.RESTORE_WORKFLOW, does=archives.restore),
    verbs.DELETE_WORKFLOW: _archiving(verbs.DELETE_WORKFLOW, does=archives.delete),
}


def _workflow(request: HttpRequest, key: UUID, *, way: Way = CHANGE_RUNS) -> Workflow:
    require(request, way)
    return get_object_or_404(Workflow, pk=key, kind=Workflow.Kind.WORKFLOW)


def _of_workflow(workflow: Workflow, **told: Any) -> Page:
    state = "archived" if workflow.archived_at else "paused" if workflow.paused_at else "not paused"
    back = reverse("admin:workflows_workflow_change", args=[workflow.pk])
    return Page(of=Run, name=workflow.name, detail="the workflow", state=state, back=back, **told)


def _runs_were(count: int) -> str:
    return "1 run was" if count == 1 else f"{count} runs were"
