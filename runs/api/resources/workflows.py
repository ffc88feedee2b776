"""Workflows: publish, list, look at one, and start a run of it."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from runs.api.http import filters, idempotency
from runs.api.http.base import PROBLEM, READ_MANY, READ_ONE, WRITE, ScopedView, answer_page, listed, parameters
from runs.api.http.lookups import find_start, find_workflow, workflow_or_none
from runs.api.http.outputs import PARAMETERS, outputs_of
from runs.api.http.pagination import page
from runs.api.http.parsers import DEFINITION_PARSERS, read_body
from runs.api.http.problems import Refused, bad, missing
from runs.control import keys, starts
from runs.domain.requests import SHORT_FORM
from runs.domain.requests import Request as RunRequest
from runs.domain.statuses import workflow_status
from runs.history import timeline
from runs.history.timeline import StepView
from runs.models import Run
from runs.schemas import runs as runs_schemas
from runs.schemas import workflows as workflows_schemas
from runs.schemas.requests import RenameWorkflow
from workflows.definitions.errors import DefinitionError
from workflows.formats.parse import Source
from workflows.models import Workflow
from workflows.publishing.names import CannotRename, rename
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
        parameters=parameters(
            name="Only the workflow of this name.", archived="`true`: the archived ones, which are left out otherwise."
        ),
        responses={200: listed(workflows_schemas.WorkflowSummary), **READ_MANY},
    )
    def get(self, request: Request) -> Response:
        """List them, newest first, each with its latest run."""
        given = filters.read(request, known=["name", "archived"])
        wanted = given.get("archived") or "false"
        if wanted not in ("true", "false"):
            raise bad("archived", "must be true or false")
        found = Workflow.objects.filter(workspace=self.workspace, kind=Workflow.Kind.WORKFLOW)
        found = found.filter(archived_at__isnull=wanted == "false")
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
            409: PROBLEM,
        },
        parameters=[idempotency.DESCRIBED],
    )
    def post(self, request: Request) -> Response:
        """Publish a definition; the short form is started at once. 200 when nothing was made.

        An idempotency key is that of the start; one that is known answers the first start.
        """
        source = request.data if isinstance(request.data, Source) else Source(None)
        try:
            with transaction.atomic():
                published = publish(source.document, workspace=self.workspace, owner=self.user, caller=self.caller)
                if published.start_input is not None:
                    self.require(PUBLISH_AND_START)
                warnings = [*source.warnings, *published.warnings]
                answer, made = _published(published, warnings=warnings, key=idempotency.header_key(request.META))
        except DefinitionError as error:
            raise source.locate(error) from None
        except permissions.Forbidden as error:
            raise Refused(str(error), status=403) from None
        return Response(answer, status=201 if made else 200)


class OneWorkflow(ScopedView):
    """One workflow."""

    changes = permissions.way("api: workflows_rename", Right.PUBLISH)

    @extend_schema(
        operation_id="workflows_retrieve",
        parameters=PARAMETERS,
        responses={200: workflows_schemas.WorkflowOrStart, **READ_ONE, **READ_MANY},
    )
    def get(self, request: Request, key: str) -> Response:
        """Show it with its current definition, and its latest run with the state of every step.

        By the id that a definition in the short form was answered with, show that start and its steps.
        """
        workflow = workflow_or_none(key, workspace=self.workspace)
        if workflow is not None:
            newest = self._newest(workflow)
            told = workflows_schemas.workflow_detail(workflow, latest_run=newest, secrets=self.sees_secrets)
            return Response(told.as_json())
        start = find_start(key, workspace=self.workspace)
        if start is None:
            raise missing("workflow", key)
        steps = timeline.timeline(start)
        done, total = timeline.progress(start, steps)
        return Response(workflows_schemas.started_workflow(self._run(start, steps), done=done, total=total).as_json())

    @extend_schema(
        operation_id="workflows_rename",
        request=RenameWorkflow,
        responses={200: workflows_schemas.WorkflowRenamed, **WRITE, 404: PROBLEM, 409: PROBLEM},
    )
    def patch(self, request: Request, key: str) -> Response:
        """Rename it. The old name goes on meaning it, until another workflow takes that."""
        asked = read_body(request.data, model=RenameWorkflow)
        workflow = find_workflow(key, workspace=self.workspace)
        try:
            said = rename(workflow, name=asked.name)
        except CannotRename as refusal:
            raise Refused(str(refusal), status=409) from None
        told = {"id": workflow.pk, "name": asked.name, "aliases": workflows_schemas.aliases(workflow), "detail": said}
        return Response(workflows_schemas.WorkflowRenamed(**told).as_json())

    def _newest(self, workflow: Workflow) -> runs_schemas.RunDetail | None:
        runs = Run.objects.filter(workflow=workflow).select_related("workflow", "version", "gate")
        run = runs.defer("version__definition").order_by("-id").first()
        return None if run is None else self._run(run, timeline.timeline(run))

    def _run(self, run: Run, steps: list[StepView]) -> runs_schemas.RunDetail:
        told = timeline.interventions(run)
        return runs_schemas.run_detail(
            run,
            steps=steps,
            interventions=told,
            site=self.site,
            secrets=self.sees_secrets,
            outputs=outputs_of(run.pk, request=self.request),
        )


def _published(published: Published, *, warnings: list[str], key: str | None) -> tuple[dict[str, Any], bool]:
    """Return the answer, and whether anything was made. Raises KeyTaken if the short form was to be started."""
    told: dict[str, Any] = {
        "id": published.workflow.pk,
        "name": published.workflow.name,
        "version": published.version.number,
        "hash": published.version.hash,
        "warnings": warnings,
    }
    if published.start_input is None:
        made = published.workflow_created or published.version_created
        return workflows_schemas.WorkflowPublished(**told).as_json(), made
    asked = RunRequest(published.start_input, key, compares=True)
    answers = starts.start([asked], version=published.version, workflow=published.workflow, source=SHORT_FORM)
    started = keys.only(answers, key=key)
    done, total, completed_at = 0, len(published.version.definition["steps"]), None
    if not started.created:
        first = Run.objects.get(pk=started.run_id)
        completed_at = first.finished_at
        done, total = timeline.progress(first, timeline.timeline(first))
    answer = workflows_schemas.WorkflowStarted(
        **{**told, "id": started.run_id},
        workflow=published.workflow.name,
        workflow_id=published.workflow.pk,
        state=started.state,
        status=workflow_status(started.state),
        current_step=done,
        total_steps=total,
        completed_at=completed_at,
        run=runs_schemas.RunStarted(id=started.run_id, state=started.state),
    )
    return answer.as_json(), started.created


def _slim(workflows: QuerySet[Workflow]) -> QuerySet[Workflow]:
    return workflows.select_related("current").defer("current__definition", "settings")
