"""Signals and decisions: tell runs what they wait for, and find the steps that wait for a person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from runs.api.http import filters
from runs.api.http.base import CONFLICT, PROBLEM, READ_MANY, WRITE, ScopedView, answer_page, listed, parameters
from runs.api.http.pagination import page
from runs.api.http.parsers import read_body
from runs.api.http.problems import Refused, conflict, missing
from runs.control import approvals, preconditions, signals
from runs.control.approvals import Decision
from runs.control.preconditions import cannot_signal
from runs.control.signals import Message, Sent, TooMany
from runs.domain.actor import Hand
from runs.models import Run, Signal, StepRun
from runs.schemas import signals as signals_schemas
from runs.schemas.requests import Decide, SendSignal, SendSignalByKey
from workflows.models import Workspace

VERB = {**WRITE, 404: PROBLEM, 409: CONFLICT}
SENT = {200: signals_schemas.SignalShape, 201: signals_schemas.SignalShape, **VERB}
FILTERS = ("workflow", "run")


class RunSignals(ScopedView):
    """The signals of one run."""

    @extend_schema(operation_id="runs_signal", request=SendSignal, responses=SENT)
    def post(self, request: Request, key: str) -> Response:
        """Send a signal to the run. 200 and the first one when the idempotency key is known."""
        asked = read_body(request.data, model=SendSignal)
        run_id = _find(key, workspace=self.workspace)
        message = Message(asked.name, asked.payload, asked.idempotency_key)
        sent = signals.send([run_id], message=message, hand=Hand(self.user.pk))
        if not sent:
            state = preconditions.state_of(run_id)
            raise conflict(cannot_signal(run_id, state, name=asked.name), state=state)
        return Response(_told(sent)[0].told(), status=201 if sent[0].created else 200)


class Signals(ScopedView):
    """Signals by name and key, for senders that know no run's id."""

    @extend_schema(
        operation_id="signals_send",
        request=SendSignalByKey,
        responses={200: signals_schemas.SentByKey, 201: signals_schemas.SentByKey, **WRITE, 409: PROBLEM},
    )
    def post(self, request: Request) -> Response:
        """Wake every run that waits for the name with the key; where none does, keep it for the first that will."""
        asked = read_body(request.data, model=SendSignalByKey)
        message = Message(asked.name, asked.payload, asked.idempotency_key)
        try:
            sent = signals.send_by_key(
                asked.key, workspace_id=self.workspace.pk, message=message, hand=Hand(self.user.pk)
            )
        except TooMany as refusal:
            raise Refused(str(refusal), status=409) from None
        answer = signals_schemas.SentByKey(signals=_told(sent))
        return Response(answer.told(), status=201 if sent[0].created else 200)


class Approvals(ScopedView):
    """The steps of the workspace that wait for approval."""

    @extend_schema(
        operation_id="approvals_list",
        parameters=parameters(workflow="Id or name of a workflow.", run="Id of a run."),
        responses={200: listed(signals_schemas.ApprovalShape), **READ_MANY},
    )
    def get(self, request: Request) -> Response:
        """List them, newest first, each with its question and a signed link to decide it."""
        given = filters.read(request, known=FILTERS)
        found = approvals.pending(StepRun.objects.filter(run__workspace=self.workspace))
        if (run := given.get("run")) is not None:
            found = found.filter(run_id=filters.as_id(run, name="run"))
        if (key := given.get("workflow")) is not None:
            found = found.filter(run__workflow__in=filters.workflow_ids(key, workspace=self.workspace))
        shown = page(request, of=slim(found))
        return answer_page(
            shown, [signals_schemas.approval(row, site=request.build_absolute_uri) for row in shown.objects]
        )


class ApproveStep(ScopedView):
    """The approval of one step."""

    approved = True

    @extend_schema(operation_id="steps_approve", request=Decide, responses={200: signals_schemas.Decided, **VERB})
    def post(self, request: Request, key: str, step: str) -> Response:
        """Approve a step that waits for it; `comment` is kept with the run."""
        return _decide(self, request, key, step)


class RejectStep(ApproveStep):
    """The rejection of one step."""

    approved = False

    @extend_schema(operation_id="steps_reject", request=Decide, responses={200: signals_schemas.Decided, **VERB})
    def post(self, request: Request, key: str, step: str) -> Response:
        """Reject a step that waits for approval; `comment` is kept with the run."""
        return _decide(self, request, key, step)


def slim(rows: QuerySet[StepRun]) -> QuerySet[StepRun]:
    """The rows with their runs' workflows, without values that may be large."""
    values = ("input", "output", "error", "attempts", "run__input", "run__output", "run__workflow__settings")
    return rows.select_related("run__workflow").defer(*values)


def _decide(view: ApproveStep, request: Request, key: str, step: str) -> Response:
    asked = read_body(request.data, model=Decide)
    run_id = _find(key, workspace=view.workspace)
    name = view.user.get_username()
    place = (run_id, step, asked.item)
    decision = Decision(view.approved, by=name, username=name)
    if not approvals.decide([place], decision=decision, hand=Hand(view.user.pk, asked.comment)):
        row = slim(StepRun.objects.filter(run_id=run_id, step=step, item=asked.item)).first()
        said = approvals.cannot_decide(row, step=step, username=name)
        if row is not None and row.state == "waiting" and not approvals.may_decide(row, name):
            raise Refused(said, status=403)
        raise conflict(said, state=preconditions.state_of(run_id))
    answer = signals_schemas.Decided(
        run=run_id, step=step, approved=view.approved, state=preconditions.state_of(run_id)
    )
    return Response(answer.told())


def _told(sent: Sequence[Sent]) -> list[Any]:
    rows = Signal.objects.in_bulk([one.id for one in sent])
    return [signals_schemas.signal(rows[one.id]) for one in sent]


def _find(key: str, *, workspace: Workspace) -> UUID:
    run_id = filters.parse_id(key, what="run")
    if not Run.objects.filter(pk=run_id, workspace=workspace).exists():
        raise missing("run", key)
    return run_id
