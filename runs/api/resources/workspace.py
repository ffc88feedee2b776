"""The workspace of the token: its limits, for how long it keeps runs, and its alert workflow."""

from __future__ import annotations

import logging

from django.core.exceptions import ValidationError
from django.db import transaction
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from runs.api.http.base import PROBLEMS, WRITE, ScopedView
from runs.api.http.lookups import workflow_or_none
from runs.api.http.parsers import read_body
from runs.api.http.problems import refused
from runs.schemas import workspaces
from runs.schemas.requests import ChangeWorkspace
from workflows.definitions.errors import Problem, nearest
from workflows.models import Workflow, Workspace
from workflows.workspaces import permissions
from workflows.workspaces.permissions import Right

log = logging.getLogger(__name__)
LOOK = permissions.way("api: see the workspace's settings", Right.ADMINISTER)


class OwnWorkspace(ScopedView):
    """The workspace of the token."""

    reads = LOOK
    changes = permissions.way("api: workspace_change", Right.ADMINISTER)

    @extend_schema(operation_id="workspace_retrieve", responses={200: workspaces.WorkspaceShape, **PROBLEMS})
    def get(self, request: Request) -> Response:
        """Show its limits, for how long it keeps runs, and its alert workflow."""
        return Response(workspaces.workspace(self.workspace).as_json())

    @extend_schema(
        operation_id="workspace_change",
        request=ChangeWorkspace,
        responses={200: workspaces.WorkspaceShape, **WRITE},
    )
    def patch(self, request: Request) -> Response:
        """Change what is given, and nothing else; null takes a limit away.

        Runs that ended longer ago than a new `keep_days` says are deleted within the hour, and cannot be restored.
        """
        asked = read_body(request.data, model=ChangeWorkspace)
        names = sorted(asked.model_fields_set)
        with transaction.atomic():
            found = Workspace.objects.select_for_update(no_key=True).get(pk=self.workspace.pk)
            for name in names:
                value = getattr(asked, name)
                setattr(found, name, self._alert_workflow(value) if name == "alert_workflow" else value)
            try:
                found.full_clean()
            except ValidationError as error:
                problems = [Problem(path, " ".join(said)) for path, said in error.message_dict.items()]
                raise refused(problems) from None
            found.save(update_fields=names)
        log.info("workspace_changed", extra={"workspace": found.name, "user": self.user.pk, "settings": names})
        return Response(workspaces.workspace(found).as_json())

    def _alert_workflow(self, key: str | None) -> Workflow | None:
        """The workflow with this id or name, locked, so that nobody archives it meanwhile. Raises Refused (400)."""
        if key is None:
            return None
        found = workflow_or_none(key, workspace=self.workspace)
        if found is None:
            known = Workflow.objects.filter(workspace=self.workspace, kind=Workflow.Kind.WORKFLOW, archived_at=None)
            hint = nearest(key, known.values_list("name", flat=True)[:501])
            raise refused([Problem("alert_workflow", f"this workspace has no workflow {key[:100]!r}{hint}")])
        return Workflow.objects.select_for_update(no_key=True).get(pk=found.pk)
