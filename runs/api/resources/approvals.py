"""Steps that wait for approval: list, approve, reject."""

from __future__ import annotations

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from runs.api.http import filters, lookups
from runs.api.http.base import READ_MANY, VERB, ScopedView, answer_page, listed, parameters
from runs.api.http.lookups import find_run
from runs.api.http.pagination import page
from runs.api.http.parsers import read_body
from runs.api.http.problems import Refused, conflict
from runs.api.resources.bulk_verbs import described
from runs.api.resources.signals import FILTERS
from runs.control import approvals, preconditions, verbs
from runs.control.approvals import Decision
from runs.domain.actor import Actor
from runs.models import StepRun
from runs.schemas import approvals as approvals_schemas
from runs.schemas.requests import Decide


class Approvals(ScopedView):
    """The steps of the workspace that wait for approval."""

    @extend_schema(
        operation_id="approvals_list",
        parameters=parameters(workflow="Id or name of a workflow.", run="Id of a run."),
        responses={200: listed(approvals_schemas.ApprovalShape), **READ_MANY},
    )
    def get(self, request: Request) -> Response:
        """List them, newest first, each with its question and, for those who may decide, a signed link."""
        given = filters.read(request, known=FILTERS)
        found = approvals.pending(StepRun.objects.filter(run__workspace=self.workspace))
        if (run := given.get("run")) is not None:
            found = found.filter(run_id=filters.as_id(run, name="run"))
        if (key := given.get("workflow")) is not None:
            found = found.filter(run__workflow__in=lookups.workflow_ids(key, workspace=self.workspace))
        shown = page(request, of=slim(found))
        return answer_page(shown, [approvals_schemas.approval(row, site=self.site) for row in shown.objects])


@described(verbs.APPROVE, request=Decide, responses={200: approvals_schemas.Decided, **VERB}, more="`comment` is kept.")
class ApproveStep(ScopedView):
    """The approval of one step."""

    approved = True

    def post(self, request: Request, key: str, step: str) -> Response:
        """Decide it; 403 for who is not an approver of it, 409 where it does not wait."""
        return _decide(self, request, key, step)


@described(verbs.REJECT, request=Decide, responses={200: approvals_schemas.Decided, **VERB}, more="`comment` is kept.")
class RejectStep(ApproveStep):
    """The rejection of one step."""

    approved = False


def slim(rows: QuerySet[StepRun]) -> QuerySet[StepRun]:
    """The rows with their runs' workflows, without values that may be large."""
    values = ("input", "output", "error", "attempts", "run__input", "run__output", "run__workflow__settings")
    return rows.select_related("run__workflow").defer(*values)


def _decide(view: ApproveStep, request: Request, key: str, step: str) -> Response:
    asked = read_body(request.data, model=Decide)
    run_id = find_run(key, workspace=view.workspace)
    name = view.user.get_username()
    step_key = (run_id, step, asked.item)
    decision = Decision(view.approved, by=name, username=name)
    if not approvals.decide([step_key], decision=decision, actor=Actor(view.user.pk, asked.comment)):
        row = slim(StepRun.objects.filter(run_id=run_id, step=step, item=asked.item)).first()
        said = approvals.cannot_decide(row, step=step, username=name)
        if row is not None and row.state == "waiting" and not approvals.may_decide(row, name):
            raise Refused(said, status=403)
        raise conflict(said, state=preconditions.state_of(run_id))
    answer = approvals_schemas.Decided(
        run=run_id, step=step, approved=view.approved, state=preconditions.state_of(run_id)
    )
    return Response(answer.as_json())
