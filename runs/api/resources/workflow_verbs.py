"""The verbs over a workflow as a whole: pause and resume."""

from __future__ import annotations

from collections.abc import Callable

from rest_framework.request import Request
from rest_framework.response import Response

from runs.api.http.base import PROBLEM, WRITE, ScopedView
from runs.api.http.lookups import find_workflow
from runs.api.http.parsers import read_body
from runs.api.resources.bulk_verbs import described
from runs.control import pauses, verbs
from runs.domain.actor import Actor
from runs.schemas import workflows
from runs.schemas.requests import ByHand

ANSWERS = {200: workflows.WorkflowStateShape, **WRITE, 404: PROBLEM}


@described(verbs.PAUSE_WORKFLOW, request=ByHand, responses=ANSWERS, more="Again is a no-op.")
class PauseWorkflow(ScopedView):
    """The pause of one workflow."""

    def post(self, request: Request, key: str) -> Response:
        """Do it, and return how many runs this call paused."""
        return _held(self, request, key, verb=pauses.pause_workflow)


@described(verbs.RESUME_WORKFLOW, request=ByHand, responses=ANSWERS, more="Again is a no-op.")
class ResumeWorkflow(ScopedView):
    """The resume of one workflow."""

    def post(self, request: Request, key: str) -> Response:
        """Do it, and return how many runs this call resumed."""
        return _held(self, request, key, verb=pauses.resume_workflow)


def _held(view: ScopedView, request: Request, key: str, *, verb: Callable[..., int]) -> Response:
    asked = read_body(request.data, model=ByHand)
    workflow = find_workflow(key, workspace=view.workspace)
    runs = verb(workflow, actor=Actor(view.user.pk, asked.why))
    workflow.refresh_from_db(fields=["paused_at"])
    answer = workflows.WorkflowStateShape(id=workflow.pk, name=workflow.name, paused_at=workflow.paused_at, runs=runs)
    return Response(answer.as_json())
