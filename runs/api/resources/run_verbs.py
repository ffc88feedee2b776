"""The verbs over runs: cancel, terminate, pause, resume and retry, of one run or of many, and replay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar
from uuid import UUID

from django.db.models import QuerySet
from rest_framework.request import Request
from rest_framework.response import Response

from actions.base import Json
from runs.api.http import idempotency
from runs.api.http.base import VERB, ScopedView
from runs.api.http.filters import Filters
from runs.api.http.lookups import find_run
from runs.api.http.parsers import read_body
from runs.api.http.problems import conflict
from runs.api.resources import runs as listed
from runs.api.resources.bulk_verbs import Bulk, choose, described, described_many, result
from runs.control import preconditions, replays, retries, verbs
from runs.control.replays import NotNow
from runs.control.verbs import RunVerb
from runs.domain.actor import Actor
from runs.domain.states import RunState
from runs.models import Run
from runs.schemas import runs
from runs.schemas.requests import Bulk as BulkRequest
from runs.schemas.requests import ByHand, ReplayRun, RetryRun
from workflows.workspaces import permissions
from workflows.workspaces.permissions import Right

DONE = {200: runs.RunStarted, **VERB}


class VerbOnRun(ScopedView):
    """A verb on one run."""

    verb: ClassVar[RunVerb]

    def post(self, request: Request, key: str) -> Response:
        """Do it; 409 and the run's state where it is not legal."""
        asked = read_body(request.data, model=ByHand)
        run_id = find_run(key, workspace=self.workspace)
        if not self.verb.function([run_id], actor=Actor(self.user.pk, asked.why)):
            state = preconditions.state_of(run_id)
            raise conflict(self.verb.why_not(run_id, state), state=state)
        return _state(run_id)


class VerbOnRuns(ScopedView):
    """A verb on many runs."""

    verb: ClassVar[RunVerb]

    def post(self, request: Request) -> Response:
        """Do it to the runs of these ids, or to up to 1000 that pass the filter."""
        asked = read_body(request.data, model=BulkRequest)

        def matching(given: Filters) -> QuerySet[Run]:
            found = listed.matching(given, workspace=self.workspace)
            return found if asked.ids is not None else self.verb.narrow(found)

        chosen = choose(asked, bulk=Bulk(self.verb, listed.FILTERS, RunState), matching=matching)
        won = self.verb.function(chosen.ids, actor=Actor(self.user.pk, asked.why))
        notes = self.verb.notes(won)
        return Response(result(chosen, won=won, states=preconditions.run_states, notes=notes).as_json())


@described(verbs.CANCEL, request=ByHand, responses=DONE)
class CancelRun(VerbOnRun):
    """The cancel of one run."""

    verb = verbs.CANCEL


@described(verbs.TERMINATE, request=ByHand, responses=DONE)
class TerminateRun(VerbOnRun):
    """The terminate of one run."""

    verb = verbs.TERMINATE


@described(verbs.PAUSE, request=ByHand, responses=DONE)
class PauseRun(VerbOnRun):
    """The pause of one run."""

    verb = verbs.PAUSE


@described(verbs.RESUME, request=ByHand, responses=DONE)
class ResumeRun(VerbOnRun):
    """The resume of one run."""

    verb = verbs.RESUME


@described(
    verbs.RETRY,
    request=RetryRun,
    responses={200: runs.RunRetried, **VERB},
    more="`inputs` gives failed steps other inputs.",
)
class RetryOneRun(ScopedView):
    """The retry of one run."""

    def post(self, request: Request, key: str) -> Response:
        """Do it; 409 and the run's state where it is not legal."""
        asked = read_body(request.data, model=RetryRun)
        run_id = find_run(key, workspace=self.workspace)
        inputs: Mapping[tuple[UUID, str], Json] = {(run_id, step): given for step, given in asked.inputs.items()}
        if not retries.retry([run_id], actor=Actor(self.user.pk, asked.why), inputs=inputs):
            state = preconditions.state_of(run_id)
            raise conflict(preconditions.cannot_retry(run_id, state, edited=asked.inputs), state=state)
        notes = list(verbs.RETRY.notes([run_id]).values())
        return Response(runs.RunRetried(id=run_id, state=preconditions.state_of(run_id), notes=notes).as_json())


@described(
    verbs.REPLAY,
    request=ReplayRun,
    responses={201: runs.RunStarted, **DONE},
    more="200 and the first replay when the idempotency key is known; 409 when it is known with another input.",
    parameters=[idempotency.DESCRIBED],
)
class ReplayOneRun(ScopedView):
    """The replay of one run."""

    # It may bring any input, so that it would be a start for tokens that may not start runs.
    changes_also = permissions.way("api: runs_replay as a start", Right.START)

    def post(self, request: Request, key: str) -> Response:
        """Do it; 409 and the run's state where it is not legal."""
        asked = read_body(request.data, model=ReplayRun)
        run_id = find_run(key, workspace=self.workspace)
        once = idempotency.key_of(request.META, body=asked.idempotency_key)
        try:
            known = replays.replayed(run_id, key=once, given=asked.input, compares=asked.compares) if once else None
            new = known or replays.replay(
                run_id,
                key=once,
                compares=asked.compares,
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


@described_many(verbs.CANCEL)
class CancelRuns(VerbOnRuns):
    """The cancel of many runs."""

    verb = verbs.CANCEL


@described_many(verbs.TERMINATE)
class TerminateRuns(VerbOnRuns):
    """The terminate of many runs."""

    verb = verbs.TERMINATE


@described_many(verbs.PAUSE)
class PauseRuns(VerbOnRuns):
    """The pause of many runs."""

    verb = verbs.PAUSE


@described_many(verbs.RESUME)
class ResumeRuns(VerbOnRuns):
    """The resume of many runs."""

    verb = verbs.RESUME


@described_many(verbs.RETRY)
class RetryRuns(VerbOnRuns):
    """The retry of many runs."""

    verb = verbs.RETRY


def _state(run_id: UUID) -> Response:
    return Response(runs.RunStarted(id=run_id, state=preconditions.state_of(run_id)).as_json())
