"""The control verbs: start, cancel, terminate, pause, resume, retry, replay, discard. Every door calls these."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from uuid import UUID

from django.db import DatabaseError, connection, transaction

from actions.base import Json
from runs.control import concurrency, pauses, starts
from runs.control import retries as interventions
from runs.dispatch import dispatcher
from runs.domain.actor import Hand
from runs.domain.requests import Request, Started
from runs.domain.states import RUN_ENDED, DeadLetterState, RunState
from runs.engine import sub_workflows
from runs.models import DeadLetter, Run
from runs.planning import plan as plans
from runs.planning.plan import Plan
from workflows.models import Version, Workflow
from workflows.publishing.publish import check_input

__all__ = [
    "Hand",
    "NotNow",
    "Request",
    "Started",
    "cancel",
    "discard",
    "pause",
    "pause_workflow",
    "replay",
    "resume",
    "resume_workflow",
    "retry",
    "retry_letters",
    "start",
    "terminate",
]

log = logging.getLogger(__name__)


class NotNow(Exception):
    """The verb is not legal for the run as it stands; the message says how it stands, and what would be legal."""


def start(requests: Sequence[Request], *, version: Version, workflow: Workflow, source: str) -> list[Started]:
    """Insert the runs in one statement, and dispatch after commit. The workflow is the version's own.

    A single one outside of a transaction is inserted together with those that other threads start meanwhile. Raises
    workflows.publishing.publish.InvalidInput when an input does not match the version's `inputs` schema; then nothing
    is started.
    """
    starts.check(requests, version=version)
    recipe = starts.Recipe(version, workflow, source)
    if len(requests) == 1 and not connection.in_atomic_block:
        return [starts.insert_together(requests[0], recipe=recipe)]
    started = starts.insert(requests, recipe=recipe)
    transaction.on_commit(partial(dispatcher.after_start, started))
    return started


def cancel(run_ids: Sequence[UUID], *, hand: Hand) -> frozenset[UUID]:
    """Stop runs whose work is not over; answers those that this call cancelled. Again is a no-op."""
    won = interventions.cancel(run_ids, hand=hand)
    if won:
        transaction.on_commit(dispatcher.after_commit)  # what `finally` begins with
        # Parents and children are locked in separate transactions; what fails here the sweep does.
        transaction.on_commit(lambda: _cancel_children(hand))
    return won


def terminate(run_ids: Sequence[UUID], *, hand: Hand) -> frozenset[UUID]:
    """End runs that have not ended, at once: no compensation, on_failure or finally. Answers those that it ended."""
    won = interventions.terminate(run_ids, hand=hand)
    if won:
        transaction.on_commit(dispatcher.after_commit)  # their places are free
        transaction.on_commit(lambda: _cancel_children(hand))
    return won


def pause(run_ids: Sequence[UUID], *, hand: Hand) -> frozenset[UUID]:
    """Hold runs that have not ended: nothing of them is begun any more. Answers those that this call held."""
    return pauses.pause(run_ids, hand=hand)


def resume(run_ids: Sequence[UUID], *, hand: Hand) -> frozenset[UUID]:
    """Let paused runs go on, a retry when it would have been due; answers those that this call let go."""
    won = pauses.resume(run_ids, hand=hand)
    transaction.on_commit(dispatcher.after_commit)
    return won


def pause_workflow(workflow: Workflow, *, hand: Hand) -> int:
    """Hold the workflow's runs and those that are started from now on; answers how many runs this call held."""
    return pauses.pause_workflow(workflow, hand=hand)


def resume_workflow(workflow: Workflow, *, hand: Hand) -> int:
    """Let the workflow's runs go on, but for those that were paused themselves; answers how many this call let go."""
    released = pauses.resume_workflow(workflow, hand=hand)
    transaction.on_commit(dispatcher.after_commit)
    return released


def retry(
    run_ids: Sequence[UUID], *, hand: Hand, inputs: Mapping[tuple[UUID, str], Json] | None = None
) -> frozenset[UUID]:
    """Let failed runs go on from their failed steps, the same steps in the same runs.

    `inputs` replaces a failed step's input. Answers the runs that this call set going.
    """
    won = interventions.retry(run_ids, hand=hand, inputs=inputs)
    transaction.on_commit(dispatcher.after_commit)
    return won


def retry_letters(letter_ids: Sequence[UUID], *, hand: Hand, given: Json = None) -> frozenset[UUID]:
    """Retry the steps of open dead letters; `given`, if not None, replaces the input of each.

    Answers the letters whose steps this call set going.
    """
    letters = DeadLetter.objects.filter(id__in=letter_ids, state=DeadLetterState.OPEN)
    begun = list(letters.values_list("id", "run_id", "step"))
    steps: dict[UUID, list[str]] = {}
    for _, run_id, step in begun:
        steps.setdefault(run_id, []).append(step)
    inputs = {(run_id, step): given for _, run_id, step in begun} if given is not None else {}
    won = interventions.retry(list(steps), hand=hand, steps=steps, inputs=inputs)
    transaction.on_commit(dispatcher.after_commit)
    return frozenset(letter_id for letter_id, run_id, _ in begun if run_id in won)


def replay(  # noqa: PLR0913 - everything that a replay may be given
    run_id: UUID,
    *,
    step: str | None = None,
    latest: bool = False,
    given: Json = None,
    hand: Hand,
    key: str | None = None,
) -> UUID:
    """A new run from a chosen step (None: from the beginning); the old one, which must have ended, is untouched.

    `latest` takes the workflow's current version instead of the run's own; `given` replaces the run's input. A known
    idempotency key answers the replay that it made. Raises NotNow when the run has not ended, the version has no such
    step or the key is another run's, Run.DoesNotExist.
    """
    if key is not None and (known := replayed(run_id, key=key)) is not None:
        return known
    old = Run.objects.select_related("workflow__current", "version").get(pk=run_id)
    if old.state not in RUN_ENDED:
        raise NotNow(f"the run is {old.state}; a replay begins from a run that has ended: cancel it first, or wait")
    version = (old.workflow.current if latest else None) or old.version
    if given is not None or latest:
        check_input(version, old.input if given is None else given)
    plan = plans.load(version.pk)
    if step is None:
        found = interventions.Replay(entry=tuple(plan.definition.roots()))
    else:
        found = _from_step(run_id, plan=plan, step=step, number=version.number)
    rule = concurrency.concurrency(version)
    # It queues where the gate is full, whatever the policy: somebody asked for this very run.
    name = concurrency.key(rule, old.input if given is None else given) if rule is not None else None
    with transaction.atomic():
        gate = concurrency.find([name], workflow=old.workflow)[name] if name is not None else None
        found = replace(found, key=key, gate=gate)
        new = interventions.replay(run_id, found, version_id=version.pk, given=given, hand=hand)
    if new is None and key is None:
        raise NotNow(f"version {version.number} was deleted meanwhile; replay with the version that is current now")
    if new is None:  # somebody else was quicker with this key
        return replay(run_id, hand=hand, key=key)
    transaction.on_commit(dispatcher.after_commit)
    return new


def replayed(run_id: UUID, *, key: str) -> UUID | None:
    """The replay of this run that the idempotency key made, if it did. Raises NotNow where the key is another run's."""
    old = Run.objects.only("workflow_id").get(pk=run_id)
    first = Run.objects.filter(workflow_id=old.workflow_id, idempotency_key=key).only("replay_of_id").first()
    if first is not None and first.replay_of_id != run_id:
        raise NotNow(f"the idempotency key is known, and run {first.pk} of it is no replay of this one; use another")
    return first.pk if first is not None else None


def _from_step(run_id: UUID, *, plan: Plan, step: str, number: int) -> interventions.Replay:
    choices = [each.id for each in plan.steps.values() if not each.handler]
    if step not in choices:
        raise NotNow(f"version {number} has no step {step!r}; it has {', '.join(choices[:20])}")
    found = interventions.kept_for_replay(run_id, plan=plan, step=step)
    absent = [parent for parent in plan.steps[step].parents if parent not in found.kept]
    if absent:
        raise NotNow(f"step {step!r} needs {absent[0]!r}, which did not succeed in this run; replay from there instead")
    return found


def discard(letter_ids: Sequence[UUID], *, hand: Hand) -> frozenset[UUID]:
    """Close open dead letters with a reason; answers those that this call closed."""
    return interventions.discard(letter_ids, hand=hand)


def _cancel_children(hand: Hand) -> None:
    try:
        interventions.cancel_orphans(hand=replace(hand, why=hand.why or sub_workflows.PARENT_STOPPED))
    except DatabaseError as error:
        log.warning("children_left_to_sweep", extra={"error": str(error)})


def standing(run_id: UUID) -> RunState:
    """The state that a verb found the run in, for the answer to one that it did not win. Raises Run.DoesNotExist."""
    return RunState(Run.objects.values_list("state", flat=True).get(pk=run_id))
