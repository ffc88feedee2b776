"""What is done to runs by hand: cancel, terminate, pause, resume, retry, replay; to one, or to many at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from runs.api.http.base import VERB, WRITE, ScopedView
from runs.api.http.filters import Filters
from runs.api.http.lookups import find_run
from runs.api.http.parsers import read_body
from runs.api.http.problems import conflict
from runs.api.resources import runs as listed
from runs.api.resources.bulk_verbs import Legal, choose, result
from runs.control import pauses, preconditions, retries, stops
from runs.control import replays as control
from runs.control.replays import NotNow
from runs.domain.actor import Actor
from runs.domain.states import RunState
from runs.models import Run
from runs.schemas import runs
from runs.schemas.bulk import BulkResult
from runs.schemas.requests import Bulk, ByHand, ReplayRun, RetryRun

CANCEL = Legal("cancelled", preconditions.CANCELLABLE, listed.FILTERS, RunState)
TERMINATE = Legal("terminated", preconditions.TERMINABLE, listed.FILTERS, RunState)
PAUSE = Legal("paused", preconditions.PAUSABLE, listed.FILTERS, RunState)
RESUME = Legal("resumed", preconditions.PAUSABLE, listed.FILTERS, RunState)
RETRY = Legal("retried", preconditions.RETRYABLE, listed.FILTERS, RunState)


class CancelRun(ScopedView):
    """The cancel of one run."""

    @extend_schema(operation_id="runs_cancel", request=ByHand, responses={200: runs.RunStarted, **VERB})
    def post(self, request: Request, key: str) -> Response:
        """Stop a run. A running step is told; its outcome is still written, and only `finally` follows it."""
        asked = read_body(request.data, model=ByHand)
        run_id = find_run(key, workspace=self.workspace)
        if not stops.cancel([run_id], actor=Actor(self.user.pk, asked.why)):
            state = preconditions.state_of(run_id)
            raise conflict(preconditions.cannot_cancel(run_id, state), state=state)
        return _state(run_id)


class TerminateRun(ScopedView):
    """The terminate of one run."""

    @extend_schema(operation_id="runs_terminate", request=ByHand, responses={200: runs.RunStarted, **VERB})
    def post(self, request: Request, key: str) -> Response:
        """End a run at once, whatever it is at: no compensation, `on_failure` or `finally` follows or goes on."""
        return _held(self, request, key, verb=stops.terminate, cannot=preconditions.cannot_terminate)


class PauseRun(ScopedView):
    """The pause of one run."""

    @extend_schema(operation_id="runs_pause", request=ByHand, responses={200: runs.RunStarted, **VERB})
    def post(self, request: Request, key: str) -> Response:
        """Hold a run that has not ended: nothing of it is begun until it is resumed. A running step runs on."""
        return _held(self, request, key, verb=pauses.pause, cannot=preconditions.cannot_pause)


class ResumeRun(ScopedView):
    """The resume of one run."""

    @extend_schema(operation_id="runs_resume", request=ByHand, responses={200: runs.RunStarted, **VERB})
    def post(self, request: Request, key: str) -> Response:
        """Let a paused run go on, also where its workflow is paused."""
        return _held(self, request, key, verb=pauses.resume, cannot=preconditions.cannot_resume)


class RetryOneRun(ScopedView):
    """The retry of one run."""

    @extend_schema(operation_id="runs_retry", request=RetryRun, responses={200: runs.RunStarted, **VERB})
    def post(self, request: Request, key: str) -> Response:
        """Let a failed run go on from its failed steps, with other inputs for some of them where given."""
        asked = read_body(request.data, model=RetryRun)
        run_id = find_run(key, workspace=self.workspace)
        inputs = {(run_id, step): given for step, given in asked.inputs.items()}
        if not retries.retry([run_id], actor=Actor(self.user.pk, asked.why), inputs=inputs):
            state = preconditions.state_of(run_id)
            raise conflict(preconditions.cannot_retry(run_id, state, edited=asked.inputs), state=state)
        return _state(run_id)


class ReplayOneRun(ScopedView):
    """The replay of one run."""

    @extend_schema(
        operation_id="runs_replay",
        request=ReplayRun,
        responses={200: runs.RunStarted, 201: runs.RunStarted, **VERB},
    )
    def post(self, request: Request, key: str) -> Response:
        """Start a new run from a chosen step of one that has ended; 200 and the first replay for a known key."""
        asked = read_body(request.data, model=ReplayRun)
        run_id = find_run(key, workspace=self.workspace)
        try:
            known = control.replayed(run_id, key=asked.idempotency_key) if asked.idempotency_key else None
            new = known or control.replay(
                run_id,
                key=asked.idempotency_key,
                step=asked.step,
                latest=asked.version == "latest",
                given=asked.input,
                actor=Actor(self.user.pk, asked.why),
            )
        except NotNow as refusal:
            raise conflict(str(refusal), state=preconditions.state_of(run_id)) from None
        if known is not None:
            return _state(known)
        return Response(runs.RunStarted(id=new, state=RunState.QUEUED).as_json(), status=201)


class CancelRuns(ScopedView):
    """The cancel of many runs."""

    @extend_schema(operation_id="runs_cancel_many", request=Bulk, responses={200: BulkResult, **WRITE})
    def post(self, request: Request) -> Response:
        """Cancel the runs of these ids, or up to 1000 that pass the filter, oldest first."""
        return _many(self, request, legal=CANCEL, verb=stops.cancel)


class TerminateRuns(ScopedView):
    """The terminate of many runs."""

    @extend_schema(operation_id="runs_terminate_many", request=Bulk, responses={200: BulkResult, **WRITE})
    def post(self, request: Request) -> Response:
        """Terminate the runs of these ids, or up to 1000 that pass the filter, oldest first."""
        return _many(self, request, legal=TERMINATE, verb=stops.terminate)


class PauseRuns(ScopedView):
    """The pause of many runs."""

    @extend_schema(operation_id="runs_pause_many", request=Bulk, responses={200: BulkResult, **WRITE})
    def post(self, request: Request) -> Response:
        """Pause the runs of these ids, or up to 1000 that pass the filter and are not paused, oldest first."""
        return _many(self, request, legal=PAUSE, verb=pauses.pause, paused=False)


class ResumeRuns(ScopedView):
    """The resume of many runs."""

    @extend_schema(operation_id="runs_resume_many", request=Bulk, responses={200: BulkResult, **WRITE})
    def post(self, request: Request) -> Response:
        """Resume the runs of these ids, or up to 1000 that pass the filter and are paused, oldest first."""
        return _many(self, request, legal=RESUME, verb=pauses.resume, paused=True)


class RetryRuns(ScopedView):
    """The retry of many runs."""

    @extend_schema(operation_id="runs_retry_many", request=Bulk, responses={200: BulkResult, **WRITE})
    def post(self, request: Request) -> Response:
        """Retry the failed runs of these ids, or up to 1000 that pass the filter, oldest first."""
        return _many(self, request, legal=RETRY, verb=retries.retry)


class _Verb(Protocol):
    def __call__(self, run_ids: Sequence[UUID], *, actor: Actor) -> frozenset[UUID]: ...


def _many(view: ScopedView, request: Request, *, legal: Legal, verb: _Verb, paused: bool | None = None) -> Response:
    """`paused` narrows a filter, but not ids, to runs that stand so."""
    asked = read_body(request.data, model=Bulk)

    def matching(given: Filters) -> QuerySet[Run]:
        found = listed.matching(given, workspace=view.workspace)
        return found if paused is None or asked.ids is not None else found.filter(paused_at__isnull=not paused)

    chosen = choose(asked, legal=legal, matching=matching)
    won = verb(chosen.ids, actor=Actor(view.user.pk, asked.why))
    return Response(result(chosen, won=won, states=preconditions.run_states).as_json())


def _held(view: ScopedView, request: Request, key: str, *, verb: _Verb, cannot: Callable[[str], str]) -> Response:
    asked = read_body(request.data, model=ByHand)
    run_id = find_run(key, workspace=view.workspace)
    if not verb([run_id], actor=Actor(view.user.pk, asked.why)):
        state = preconditions.state_of(run_id)
        raise conflict(cannot(state), state=state)
    return _state(run_id)


def _state(run_id: UUID) -> Response:
    return Response(runs.RunStarted(id=run_id, state=preconditions.state_of(run_id)).as_json())
