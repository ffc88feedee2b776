"""Dead letters: steps that gave up and whose failure nothing handled."""

from __future__ import annotations

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from runs.api.http import filters, lookups, ranges
from runs.api.http.base import READ_MANY, READ_ONE, ScopedView, answer_page, listed, parameters
from runs.api.http.filters import Filters
from runs.api.http.pagination import page
from runs.api.http.problems import missing
from runs.domain.states import DeadLetterState
from runs.models import DeadLetter
from runs.schemas import dead_letters
from workflows.models import Workspace

FILTERS = ("run", "workflow", "label.<key>", *ranges.CREATED)


class DeadLetters(ScopedView):
    """The dead letters of the workspace."""

    @extend_schema(
        operation_id="dead_letters_list",
        parameters=parameters(
            run="Id of a run.",
            workflow="Id or name of a workflow.",
            **ranges.described(*ranges.CREATED),
            state="open, retried or discarded; several separated by commas. `label.<key>` filters by the run's label.",
        ),
        responses={200: listed(dead_letters.DeadLetterSummary), **READ_MANY},
    )
    def get(self, request: Request) -> Response:
        """List them, newest first, without input, config and attempts."""
        found = matching(filters.read(request, known=FILTERS, states=DeadLetterState), workspace=self.workspace)
        slim = found.select_related("workflow").defer("input", "config", "attempts", "workflow__settings")
        shown = page(request, of=slim)
        return answer_page(shown, [dead_letters.dead_letter_summary(dead_letter) for dead_letter in shown.objects])


class OneDeadLetter(ScopedView):
    """One dead letter."""

    @extend_schema(operation_id="dead_letters_retrieve", responses={200: dead_letters.DeadLetterDetail, **READ_ONE})
    def get(self, request: Request, key: str) -> Response:
        """Show it with what its step was given and what it tried."""
        found = DeadLetter.objects.filter(workspace=self.workspace, pk=filters.parse_id(key, what="dead letter"))
        dead_letter = found.select_related("workflow").defer("workflow__settings").first()
        if dead_letter is None:
            raise missing("dead letter", key)
        return Response(dead_letters.dead_letter_detail(dead_letter, secrets=self.sees_secrets).as_json())


def matching(given: Filters, *, workspace: Workspace) -> QuerySet[DeadLetter]:
    """The dead letters of the workspace that pass these filters; a label is the run's."""
    found = DeadLetter.objects.filter(workspace=workspace)
    if (run := given.get("run")) is not None:
        found = found.filter(run_id=filters.as_id(run, name="run"))
    if (key := given.get("workflow")) is not None:
        found = found.filter(workflow__in=lookups.workflow_ids(key, workspace=workspace))
    if given.states:
        found = found.filter(state__in=given.states)
    if given.labels:
        found = found.filter(ranges.with_labels(given.labels))
    return ranges.within(ranges.span_of(given), of=found)
