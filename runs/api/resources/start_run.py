"""Start a run of a workflow. Most single starts are answered before this, by runs.api.fast_start."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from runs.api.http import idempotency
from runs.api.http.base import PROBLEM, WRITE, ScopedView
from runs.api.http.lookups import find_workflow
from runs.api.http.parsers import read_body
from runs.api.http.problems import Refused
from runs.api.resources.bulk_verbs import described
from runs.control import archives, keys, starts, verbs
from runs.domain.requests import Request as RunRequest
from runs.schemas import runs as runs_schemas
from runs.schemas.requests import StartRun


@described(
    verbs.START,
    request=StartRun,
    responses={200: runs_schemas.RunStarted, 201: runs_schemas.RunStarted, **WRITE, 404: PROBLEM, 409: PROBLEM},
    more="200 and the first run when the idempotency key is known; 409 when it is known with another input.",
    parameters=[idempotency.DESCRIBED],
)
class StartedRuns(ScopedView):
    """The runs of one workflow."""

    def post(self, request: Request, key: str) -> Response:
        """Start it."""
        wanted = read_body(request.data, model=StartRun)
        workflow = find_workflow(key, workspace=self.workspace)
        if workflow.current is None or workflow.archived_at is not None:
            raise Refused(archives.cannot_start(workflow) or "", status=409)
        once = idempotency.key_of(request.META, body=wanted.idempotency_key)
        asked = RunRequest(wanted.input, once, wanted.labels, wanted.priority, compares=wanted.compares)
        answers = starts.start([asked], version=workflow.current, workflow=workflow, source="api")
        started = keys.only(answers, key=once)
        answer = runs_schemas.RunStarted(id=started.run_id, state=started.state)
        return Response(answer.as_json(), status=201 if started.created else 200)
