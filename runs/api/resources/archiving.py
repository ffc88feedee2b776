"""The verbs that archive, restore and delete a workflow."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from rest_framework.request import Request
from rest_framework.response import Response

from runs.api.http.base import PROBLEM, WRITE, ScopedView
from runs.api.http.lookups import find_workflow
from runs.api.http.parsers import read_body
from runs.api.http.problems import Refused
from runs.api.resources.bulk_verbs import described
from runs.control import archives, verbs
from runs.control.archives import CannotArchive
from runs.domain.actor import Actor
from runs.schemas import workflows
from runs.schemas.requests import ByHand

ANSWERS = {200: workflows.WorkflowArchived, **WRITE, 404: PROBLEM, 409: PROBLEM}


class Archiving(ScopedView):
    """One of the three, on one workflow."""

    does: ClassVar[Callable[..., str]]

    def post(self, request: Request, key: str) -> Response:
        """Do it, and return what was done; 409 where it cannot be done now."""
        asked = read_body(request.data, model=ByHand)
        workflow = find_workflow(key, workspace=self.workspace)
        try:
            said = type(self).does(workflow, actor=Actor(self.user.pk, asked.why))
        except CannotArchive as refusal:
            raise Refused(str(refusal), status=409) from None
        return Response(workflows.WorkflowArchived(id=workflow.pk, name=workflow.name, detail=said).as_json())


@described(verbs.ARCHIVE_WORKFLOW, request=ByHand, responses=ANSWERS, more="Again is a no-op.")
class ArchiveWorkflow(Archiving):
    """The archiving of one workflow."""

    does = staticmethod(archives.archive)


@described(verbs.RESTORE_WORKFLOW, request=ByHand, responses=ANSWERS, more="It is named by its id. Again is a no-op.")
class RestoreWorkflow(Archiving):
    """The restoring of one workflow."""

    does = staticmethod(archives.restore)


@described(verbs.DELETE_WORKFLOW, request=ByHand, responses=ANSWERS)
class DeleteWorkflow(Archiving):
    """The deletion of one workflow."""

    does = staticmethod(archives.delete)
