"""What is done to dead letters by hand: retry and discard; to one, or to many at once."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from runs.api.http.base import VERB, WRITE, ScopedView
from runs.api.http.lookups import find_dead_letter
from runs.api.http.parsers import read_body
from runs.api.http.problems import conflict
from runs.api.resources import dead_letters as listed
from runs.api.resources.bulk_verbs import Chosen, Legal, choose, result
from runs.control import dead_letters, preconditions
from runs.domain.actor import Actor
from runs.domain.states import DeadLetterState
from runs.models import DeadLetter
from runs.schemas import dead_letters as dead_letters_schemas
from runs.schemas.bulk import BulkResult
from runs.schemas.requests import Bulk, BulkDiscard, DiscardDeadLetter, RetryDeadLetter
from workflows.models import Workspace

RETRY = Legal("retried", preconditions.OPEN, listed.FILTERS, DeadLetterState)
DISCARD = Legal("discarded", preconditions.OPEN, listed.FILTERS, DeadLetterState)


class RetryOneDeadLetter(ScopedView):
    """The retry of one dead letter."""

    @extend_schema(
        operation_id="dead_letters_retry",
        request=RetryDeadLetter,
        responses={200: dead_letters_schemas.DeadLetterStateShape, **VERB},
    )
    def post(self, request: Request, key: str) -> Response:
        """Let its run go on from this step, with another input where one is given."""
        asked = read_body(request.data, model=RetryDeadLetter)
        found = find_dead_letter(key, workspace=self.workspace)
        if not dead_letters.retry([found.pk], actor=Actor(self.user.pk, asked.why), given=asked.input):
            dead_letter = _again(found)
            raise conflict(
                preconditions.cannot_retry_dead_letter(dead_letter, edited=asked.input is not None),
                state=dead_letter.state,
                run=str(dead_letter.run_id),
                run_state=dead_letter.run.state,
            )
        return _state(found)


class DiscardOneDeadLetter(ScopedView):
    """The discard of one dead letter."""

    @extend_schema(
        operation_id="dead_letters_discard",
        request=DiscardDeadLetter,
        responses={200: dead_letters_schemas.DeadLetterStateShape, **VERB},
    )
    def post(self, request: Request, key: str) -> Response:
        """Close it for good, with a reason. Its run stays as it is."""
        asked = read_body(request.data, model=DiscardDeadLetter)
        found = find_dead_letter(key, workspace=self.workspace)
        if not dead_letters.discard([found.pk], actor=Actor(self.user.pk, asked.why)):
            state = _again(found).state
            raise conflict(preconditions.cannot_discard(state), state=state)
        return _state(found)


class RetryDeadLetters(ScopedView):
    """The retry of many dead letters."""

    @extend_schema(operation_id="dead_letters_retry_many", request=Bulk, responses={200: BulkResult, **WRITE})
    def post(self, request: Request) -> Response:
        """Retry the steps of these ids, or up to 1000 open ones that pass the filter, oldest first."""
        asked = read_body(request.data, model=Bulk)
        chosen = _choose(asked, legal=RETRY, workspace=self.workspace)
        won = dead_letters.retry(chosen.ids, actor=Actor(self.user.pk, asked.why))
        return Response(result(chosen, won=won, states=preconditions.dead_letter_states).as_json())


class DiscardDeadLetters(ScopedView):
    """The discard of many dead letters."""

    @extend_schema(operation_id="dead_letters_discard_many", request=BulkDiscard, responses={200: BulkResult, **WRITE})
    def post(self, request: Request) -> Response:
        """Discard these ids, or up to 1000 open ones that pass the filter, oldest first."""
        asked = read_body(request.data, model=BulkDiscard)
        chosen = _choose(asked, legal=DISCARD, workspace=self.workspace)
        won = dead_letters.discard(chosen.ids, actor=Actor(self.user.pk, asked.why))
        return Response(result(chosen, won=won, states=preconditions.dead_letter_states).as_json())


def _choose(asked: Bulk, *, legal: Legal, workspace: Workspace) -> Chosen:
    return choose(asked, legal=legal, matching=lambda given: listed.matching(given, workspace=workspace))


def _again(dead_letter: DeadLetter) -> DeadLetter:
    """The letter and its run as they stand now."""
    slim = DeadLetter.objects.select_related("run").only("id", "step", "state", "run__state")
    return slim.get(pk=dead_letter.pk)


def _state(found: DeadLetter) -> Response:
    dead_letter = _again(found)
    shape = dead_letters_schemas.DeadLetterStateShape(
        id=dead_letter.pk, state=dead_letter.state, run=dead_letter.run_id, run_state=dead_letter.run.state
    )
    return Response(shape.as_json())
