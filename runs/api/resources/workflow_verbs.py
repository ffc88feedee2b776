"""What is done to a workflow as a whole by hand: pause and resume."""

from __future__ import annotations

from collections.abc import Callable

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from runs.api.http.base import PROBLEM, WRITE, ScopedView
from runs.api.http.lookups import find_workflow
from runs.api.http.parsers import read_body
from runs.control import pauses
from runs.domain.actor import Actor
from runs.schemas import workflows
from runs.schemas.requests import ByHand

ANSWERS = {200: workflows.WorkflowStateShape, **WRITE, 404: PROBLEM}


class PauseWorkflow(ScopedView):
    """The pause of one workflow."""

    @extend_schema(operation_id="workflows_pause", request=ByHand, responses=ANSWERS)
    def post(self, request: Request, key: str) -> Response:
        """Hold its runs, and those that are started from now on, which are accepted and queue. Again is a no-op."""
        return _held(self, request, key, verb=pauses.pause_workflow)


class ResumeWorkflow(ScopedView):
    """The resume of one workflow."""

    @extend_schema(operation_id="workflows_resume", request=ByHand, responses=ANSWERS)
    def post(self, request: Request, key: str) -> Response:
        """Let its runs go on, but for those that were paused themselves. Again is a no-op."""
        return _held(self, request, key, verb=pauses.resume_workflow)


def _held(view: ScopedView, request: Request, key: str, *, verb: Callable[..., int]) -> Response:
    asked = read_body(request.data, model=ByHand)
    workflow = find_workflow(key, workspace=view.workspace)
    runs = verb(workflow, actor=Actor(view.user.pk, asked.why))
    workflow.refresh_from_db(fields=["paused_at"])
    answer = workflows.WorkflowStateShape(id=workflow.pk, name=workflow.name, paused_at=workflow.paused_at, runs=runs)
    return Response(answer.as_json())
