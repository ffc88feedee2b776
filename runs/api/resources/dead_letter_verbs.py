"""The verbs over dead letters: retry and discard, of one or of many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rest_framework.request import Request
from rest_framework.response import Response

from runs.api.http.base import VERB, ScopedView
from runs.api.http.lookups import find_dead_letter
from runs.api.http.parsers import read_body
from runs.api.http.problems import conflict
from runs.api.resources import bulk_verbs
from runs.api.resources import dead_letters as listed
from runs.api.resources.bulk_verbs import choose, described, described_many, result
from runs.control import dead_letters, preconditions, verbs
from runs.control.verbs import DeadLetterVerb
from runs.domain.actor import Actor
from runs.domain.states import DeadLetterState
from runs.models import DeadLetter
from runs.schemas import dead_letters as dead_letters_schemas
from runs.schemas.requests import Bulk, BulkDiscard, DiscardDeadLetter, RetryDeadLetter

DONE = {200: dead_letters_schemas.DeadLetterStateShape, **VERB}


@described(
    verbs.RETRY_DEAD_LETTER, request=RetryDeadLetter, responses=DONE, more="`input` gives the step another input."
)
class RetryOneDeadLetter(ScopedView):
    """The retry of one dead letter."""

    def post(self, request: Request, key: str) -> Response:
        """Do it; 409 and the states of both where it is not legal."""
        asked = read_body(request.data, model=RetryDeadLetter)
        found = find_dead_letter(key, workspace=self.workspace)
        if not dead_letters.retry([found.pk], actor=Actor(self.user.pk, asked.why), given=asked.input):
            dead_letter = _again(found)
            raise conflict(
                preconditions.cannot_retry_dead_letter(dead_letter, given=asked.input),
                state=dead_letter.state,
                run=str(dead_letter.run_id),
                run_state=dead_letter.run.state,
            )
        return _state(found, notes=list(verbs.RETRY_DEAD_LETTER.notes([found.pk]).values()))


@described(verbs.DISCARD, request=DiscardDeadLetter, responses=DONE, more="The reason is required.")
class DiscardOneDeadLetter(ScopedView):
    """The discard of one dead letter."""

    def post(self, request: Request, key: str) -> Response:
        """Do it; 409 and its state where it is not legal."""
        asked = read_body(request.data, model=DiscardDeadLetter)
        found = find_dead_letter(key, workspace=self.workspace)
        if not dead_letters.discard([found.pk], actor=Actor(self.user.pk, asked.why)):
            dead_letter = _again(found)
            raise conflict(preconditions.cannot_discard(dead_letter), state=dead_letter.state)
        return _state(found)


class ManyDeadLetters(ScopedView):
    """A verb on many dead letters."""

    verb: ClassVar[DeadLetterVerb]
    body: ClassVar[type[Bulk]] = Bulk

    def post(self, request: Request) -> Response:
        """Do it to these ids, or to up to 1000 open ones that pass the filter."""
        asked = read_body(request.data, model=self.body)
        bulk = bulk_verbs.Bulk(self.verb, listed.FILTERS, DeadLetterState)
        chosen = choose(asked, bulk=bulk, matching=lambda given: listed.matching(given, workspace=self.workspace))
        won = self.verb.function(chosen.ids, actor=Actor(self.user.pk, asked.why))
        notes = self.verb.notes(won)
        return Response(result(chosen, won=won, states=preconditions.dead_letter_states, notes=notes).as_json())


@described_many(verbs.RETRY_DEAD_LETTER)
class RetryDeadLetters(ManyDeadLetters):
    """The retry of many dead letters."""

    verb = verbs.RETRY_DEAD_LETTER


@described_many(verbs.DISCARD, request=BulkDiscard)
class DiscardDeadLetters(ManyDeadLetters):
    """The discard of many dead letters."""

    verb = verbs.DISCARD
    body = BulkDiscard


def _again(dead_letter: DeadLetter) -> DeadLetter:
    """The letter and its run as they stand now."""
    slim = DeadLetter.objects.select_related("run").only("id", "step", "state", "run__state")
    return slim.get(pk=dead_letter.pk)


def _state(found: DeadLetter, *, notes: Sequence[str] = ()) -> Response:
    dead_letter = _again(found)
    shape = dead_letters_schemas.DeadLetterStateShape(
        id=dead_letter.pk,
        state=dead_letter.state,
        run=dead_letter.run_id,
        run_state=dead_letter.run.state,
        notes=list(notes),
    )
    return Response(shape.as_json())
