"""Workflows: publish, list, look at one, and start a run of it."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from runs.api.http import filters
from runs.api.http.base import READ_MANY, READ_ONE, WRITE, ScopedView, answer_page, listed, parameters
from runs.api.http.lookups import find_workflow
from runs.api.http.pagination import page
from runs.api.http.parsers import DEFINITION_PARSERS
from runs.control import starts
from runs.domain.requests import Request as RunRequest
from runs.history import timeline
from runs.models import Run
from runs.schemas import base
from runs.schemas import runs as runs_schemas
from runs.schemas import workflows as workflows_schemas
from workflows.definitions.errors import DefinitionError
from workflows.formats.parse import Source
from workflows.models import Workflow
from workflows.publishing.publish import Published, publish
from workflows.workspaces import permissions
from workflows.workspaces.permissions import Right

# A definition in an engine's short form may bring the input of a first run.
PUBLISH_AND_START = permissions.way("api: workflows_publish with a first run", Right.START)


class Workflows(ScopedView):
    """The workflows of the workspace."""

    parser_classes = DEFINITION_PARSERS
    changes = permissions.way("api: workflows_publish", Right.PUBLISH)

    @extend_schema(
        operation_id="workflows_list",
        parameters=parameters(name="Only the workflow of this name."),
        responses={200: listed(workflows_schemas.WorkflowSummary), **READ_MANY},
    )
    def get(self, request: Request) -> Response:
        """List them, newest first, each with its latest run."""
        given = filters.read(request, known=["name"])
        found = Workflow.objects.filter(workspace=self.workspace, kind=Workflow.Kind.WORKFLOW)
        if (name := given.get("name")) is not None:
            found = found.filter(name=name)
        shown = page(request, of=_slim(found))
        newest = timeline.latest(workflow.pk for workflow in shown.objects)
        return answer_page(
            shown, [workflows_schemas.workflow_summary(one, newest=newest.get(one.pk)) for one in shown.objects]
        )

    @extend_schema(
        operation_id="workflows_publish",
        request={"application/json": Any, "application/yaml": Any},
        responses={
            200: workflows_schemas.WorkflowPublished,
            201: workflows_schemas.WorkflowStarted,
            **WRITE,
        },
    )
    def post(self, request: Request) -> Response:
        """Publish a definition; the short form is started at once. 200 when nothing was made."""
        source = request.data if isinstance(request.data, Source) else Source(None)
        try:
            with transaction.atomic():
                published = publish(source.document, workspace=self.workspace, owner=self.user)
                if published.start_input is not None:
                    self.require(PUBLISH_AND_START)
                answer = _published(published, warnings=[*source.warnings, *published.warnings])
        except DefinitionError as error:
            raise source.locate(error) from None
        made = published.workflow_created or published.version_created or "run" in answer
        return Response(answer, status=201 if made else 200)


class OneWorkflow(ScopedView):
    """One workflow."""

    @extend_schema(operation_id="workflows_retrieve", responses={200: workflows_schemas.WorkflowDetail, **READ_ONE})
    def get(self, request: Request, key: str) -> Response:
        """Show it with its current definition, and its latest run with the state of every step."""
        workflow = find_workflow(key, workspace=self.workspace)
        secrets = self.sees_secrets
        newest = _newest(workflow, site=self.site, secrets=secrets)
        told = workflows_schemas.workflow_detail(workflow, latest_run=newest, secrets=secrets)
        return Response(told.as_json())


def _published(published: Published, *, warnings: list[str]) -> dict[str, Any]:
    told: dict[str, Any] = {
        "id": published.workflow.pk,
        "name": published.workflow.name,
        "version": published.version.number,
        "hash": published.version.hash,
        "warnings": warnings,
    }
    if published.start_input is None:
        return workflows_schemas.WorkflowPublished(**told).as_json()
    [started] = starts.start(
        [RunRequest(published.start_input)],
        version=published.version,
        workflow=published.workflow,
        source="api",
    )
    run = runs_schemas.RunStarted(id=started.run_id, state=started.state)
    return workflows_schemas.WorkflowStarted(**told, state=started.state, status=started.state, run=run).as_json()


def _newest(workflow: Workflow, *, site: base.Site | None, secrets: bool) -> runs_schemas.RunDetail | None:
    runs = Run.objects.filter(workflow=workflow).select_related("workflow", "version", "gate")
    run = runs.defer("version__definition").order_by("-id").first()
    if run is None:
        return None
    told = timeline.interventions(run)
    steps = timeline.timeline(run)
    return runs_schemas.run_detail(run, steps=steps, interventions=told, site=site, secrets=secrets)


def _slim(workflows: QuerySet[Workflow]) -> QuerySet[Workflow]:
    return workflows.select_related("current").defer("current__definition", "settings")
