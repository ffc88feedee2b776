"""Signals and decisions: tell runs what they wait for, and find the steps that wait for a person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from runs.api.http import idempotency
from runs.api.http.base import PROBLEM, VERB, WRITE, ScopedView
from runs.api.http.lookups import find_run
from runs.api.http.parsers import read_body
from runs.api.http.problems import Refused, conflict
from runs.api.resources.bulk_verbs import described
from runs.control import preconditions, signals, verbs
from runs.control.preconditions import cannot_signal
from runs.control.signals import Message, Sent, TooMany
from runs.domain.actor import Actor
from runs.models import Signal
from runs.schemas import signals as signals_schemas
from runs.schemas.requests import SendSignal, SendSignalByKey
from workflows.workspaces import permissions

SENT = {200: signals_schemas.SignalShape, 201: signals_schemas.SignalShape, **VERB}
FILTERS = ("workflow", "run")


@described(
    verbs.SIGNAL,
    request=SendSignal,
    responses=SENT,
    more="200 and the first signal when the idempotency key is known; 409 when it is known with another payload.",
    parameters=[idempotency.DESCRIBED],
)
class RunSignals(ScopedView):
    """The signals of one run."""

    def post(self, request: Request, key: str) -> Response:
        """Send it; 409 and the run's state where the run does not take it."""
        asked = read_body(request.data, model=SendSignal)
        run_id = find_run(key, workspace=self.workspace)
        message = _message(request, asked)
        sent = signals.send([run_id], message=message, actor=Actor(self.user.pk))
        if not sent:
            state = preconditions.state_of(run_id)
            raise conflict(cannot_signal(run_id, state, name=asked.name), state=state)
        return Response(_told(sent)[0].as_json(), status=201 if sent[0].created else 200)


class Signals(ScopedView):
    """Signals by name and key, for senders that know no run's id."""

    changes = permissions.way("api: signals_send", verbs.SIGNAL.right)

    @extend_schema(
        operation_id="signals_send",
        request=SendSignalByKey,
        responses={200: signals_schemas.SentByKey, 201: signals_schemas.SentByKey, **WRITE, 409: PROBLEM},
        parameters=[idempotency.DESCRIBED],
    )
    def post(self, request: Request) -> Response:
        """Wake every run that waits for the name with the key; where none does, keep it for the first that will."""
        asked = read_body(request.data, model=SendSignalByKey)
        message = _message(request, asked)
        try:
            sent = signals.send_by_key(
                asked.key, workspace_id=self.workspace.pk, message=message, actor=Actor(self.user.pk)
            )
        except TooMany as refusal:
            raise Refused(str(refusal), status=409) from None
        answer = signals_schemas.SentByKey(signals=_told(sent))
        return Response(answer.as_json(), status=201 if sent[0].created else 200)


def _message(request: Request, asked: SendSignal) -> Message:
    key = idempotency.key_of(request.META, body=asked.idempotency_key)
    return Message(asked.name, asked.payload, key, asked.compares)


def _told(sent: Sequence[Sent]) -> list[Any]:
    rows = Signal.objects.in_bulk([one.id for one in sent])
    return [signals_schemas.signal(rows[one.id]) for one in sent]
