"""Retry and discard dead letters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

from django.db import transaction

from actions.base import Json
from runs.control import interventions, parents_again, retries
from runs.domain.actor import Actor
from runs.domain.states import DeadLetterState
from runs.models import DeadLetter
from runs.queries import dead_letters
from runs.queries.database import run


def retry(dead_letter_ids: Sequence[UUID], *, actor: Actor, given: Json = None) -> frozenset[UUID]:
    """Retry the steps of open dead letters, and return the dead letters whose steps this call set going again.

    `given`, if not None, replaces the input of each step.
    """
    letters = DeadLetter.objects.filter(id__in=dead_letter_ids, state=DeadLetterState.OPEN)
    begun = list(letters.values_list("id", "run_id", "step"))
    steps: dict[UUID, list[str]] = {}
    for _, run_id, step in begun:
        steps.setdefault(run_id, []).append(step)
    inputs = {(run_id, step): given for _, run_id, step in begun} if given is not None else {}
    won = retries.retry_steps(steps, actor=actor, inputs=inputs)
    return frozenset(letter_id for letter_id, run_id, _ in begun if run_id in won)


def kept_above(dead_letter_ids: Iterable[UUID]) -> dict[UUID, str]:
    """Return, for dead letters that were retried: why a run above theirs does not wait for it again, if that is so."""
    of_runs = dict(DeadLetter.objects.filter(id__in=list(dead_letter_ids)).values_list("id", "run_id"))
    found = parents_again.kept(set(of_runs.values()))
    return {letter_id: found[run_id] for letter_id, run_id in of_runs.items() if run_id in found}


def discard(dead_letter_ids: Sequence[UUID], *, actor: Actor) -> frozenset[UUID]:
    """Close open dead letters for good, and return those that this call closed. Their runs stay failed."""
    with transaction.atomic():
        won = run(dead_letters.DISCARD, letters=list(dead_letter_ids), by=actor.user_id, why=actor.reason)
        steps: dict[UUID, list[Json]] = {}
        for _, run_id, step in won:
            steps.setdefault(run_id, []).append(step)
        interventions.write("discard", {run_id: {"steps": those} for run_id, those in steps.items()}, actor=actor)
    return frozenset(row[0] for row in won)
