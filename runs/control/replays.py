"""Replay an ended run: start a new run from a chosen step with the results of the steps before it.

The old run is not changed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from uuid import UUID

from django.db import transaction
from uuid_utils.compat import uuid7

from actions.base import Json
from runs.control import concurrency, interventions
from runs.control.archives import cannot_start
from runs.control.keys import KeyTaken
from runs.dispatch import dispatcher
from runs.domain.actor import Actor
from runs.domain.requests import Conflict
from runs.domain.states import RUN_ENDED, StepState
from runs.engine import columns, marks
from runs.engine.release import skips
from runs.models import Run
from runs.planning import plan as plans
from runs.planning.joins import RELEASED, Mark, behind, ripple
from runs.planning.plan import Plan
from runs.queries import records, replays, values
from runs.queries.database import run
from workflows.models import Version
from workflows.publishing.inputs import check_input


class NotNow(Exception):
    """The run cannot be replayed like this; the message says why, and what can be done instead."""


def replay(  # noqa: PLR0913 - everything that a replay may be given
    run_id: UUID,
    *,
    step: str | None = None,
    latest: bool = False,
    given: Json = None,
    actor: Actor,
    key: str | None = None,
    compares: bool = False,
) -> UUID:
    """Start a new run from a step of an ended run (None: from the beginning), and return its id.

    `latest` uses the workflow's current version instead of the run's own; `given` replaces the run's input. If the
    idempotency key is known, the replay that was started with it is returned. Raises NotNow if the run has not ended,
    if its workflow is archived, if the version has no such step or if the key belongs to another run; KeyTaken if the
    known replay has another input and `compares`; InvalidInput; Run.DoesNotExist.
    """
    if key is not None and (known := replayed(run_id, key=key, given=given, compares=compares)) is not None:
        return known
    old = _ended(run_id)
    if (why_not := cannot_start(old.workflow)) is not None:
        raise NotNow(why_not)
    version = _checked_version(old, latest=latest, given=given)
    beginning = _beginning(run_id, version=version, step=step)
    new = _insert_in_gate(old, replace(beginning, key=key), version=version, given=given, actor=actor)
    if new is not None:
        transaction.on_commit(dispatcher.after_commit)
        return new
    if key is None:
        raise NotNow(f"version {version.number} was deleted meanwhile; replay with the version that is current now")
    # Another replay has this key. It may be deleted before it is looked up, so the call is repeated with all arguments.
    return replay(run_id, step=step, latest=latest, given=given, actor=actor, key=key, compares=compares)


def replayed(run_id: UUID, *, key: str, given: Json = None, compares: bool = False) -> UUID | None:
    """Return the replay of this run that has the idempotency key, or None.

    Raises NotNow if another run has the key; KeyTaken if the replay has another input and `compares`.
    """
    rows = run(replays.KNOWN_REPLAY, old=run_id, key=key, input=values.nullable(given))
    if not rows:
        return None
    [(first, replay_of, first_hash, given_hash)] = rows
    if replay_of != run_id:
        raise NotNow(f"the idempotency key is known, and run {first} of it is no replay of this one; use another")
    if compares and first_hash is not None:
        raise KeyTaken(key, Conflict("run", first, first_hash, given_hash))
    found: UUID = first
    return found


def _ended(run_id: UUID) -> Run:
    """Return the run with its workflow and versions loaded. Raises NotNow if it has not ended; Run.DoesNotExist."""
    old = Run.objects.select_related("workflow__current", "version").get(pk=run_id)
    if old.state not in RUN_ENDED:
        raise NotNow(f"the run is {old.state}; a replay begins from a run that has ended: cancel it first, or wait")
    return old


def _checked_version(old: Run, *, latest: bool, given: Json) -> Version:
    """Return the version to replay with. Raises InvalidInput if the input does not match its `inputs` schema."""
    version = (old.workflow.current if latest else None) or old.version
    if given is not None or latest:
        check_input(version, old.input if given is None else given)
    return version


def _beginning(run_id: UUID, *, version: Version, step: str | None) -> Replay:
    """Return where a replay begins and what it keeps. `step` None: from the beginning. Raises NotNow."""
    plan = plans.load(version.pk)
    if step is None:
        return Replay(entry=tuple(plan.definition.roots()))
    choices = [each.id for each in plan.steps.values() if not each.handler]
    if step not in choices:
        raise NotNow(f"version {version.number} has no step {step!r}; it has {', '.join(choices[:20])}")
    found = kept_for_replay(run_id, plan=plan, step=step)
    absent = [parent for parent in plan.steps[step].predecessors if parent not in found.kept]
    if absent:
        raise NotNow(f"step {step!r} needs {absent[0]!r}, which did not succeed in this run; replay from there instead")
    return found


@dataclass(frozen=True)
class Replay:
    """Where a new run begins and what it keeps of the old one.

    `entry` are the steps to release, `kept` the steps whose rows are copied. `skipped` and `blocked` are steps that the
    kept ones have decided already: they get rows at once, because no later step would decide them again. `key` is the
    new run's idempotency key, `gate` its concurrency gate.
    """

    entry: tuple[str, ...]
    kept: tuple[str, ...] = field(default_factory=tuple)
    skipped: tuple[str, ...] = field(default_factory=tuple)
    blocked: tuple[str, ...] = field(default_factory=tuple)
    key: str | None = None
    gate: int | None = None


def _insert_in_gate(old: Run, beginning: Replay, *, version: Version, given: Json, actor: Actor) -> UUID | None:
    """As _insert, with the concurrency gate of the run's input.

    If the gate is full, the replay waits in the queue, also under the policies `skip` and `cancel_running`: somebody
    has asked for exactly this run.
    """
    rule = concurrency.concurrency(version)
    name = None if rule is None else concurrency.key(rule, old.input if given is None else given)
    with transaction.atomic():
        gate = None if name is None else concurrency.find([name], workflow=old.workflow)[name]
        return _insert(old.pk, replace(beginning, gate=gate), version_id=version.pk, given=given, actor=actor)


def _insert(run_id: UUID, found: Replay, *, version_id: UUID, given: Json, actor: Actor) -> UUID | None:
    """Insert a queued run that begins with `found.entry` and has copies of the rows of `found.kept`; return its id.

    `given` None keeps the old run's input. Returns None if a run of the workflow has `found.key`, or if the version
    was deleted.
    """
    new = uuid7()
    with transaction.atomic():
        made = run(
            replays.REPLAY,
            new=new,
            old=run_id,
            version=version_id,
            input=values.nullable(given),
            entry=list(found.entry),
            kept=list(found.kept),
            key=found.key,
            gate=found.gate,
        )
        if not made:
            return None
        passed_by = [*skips(found.skipped, blocked=False), *skips(found.blocked, blocked=True)]
        if passed_by:
            run(records.INSERT_STEPS, **columns.steps([(new, -1, result) for result in passed_by]))
        interventions.write("replay", {run_id: {"run": str(new), "steps": list(found.entry)}}, actor=actor)
    return new


def kept_for_replay(run_id: UUID, *, plan: Plan, step: str) -> Replay:
    """Return what a replay from `step` keeps (every ended step that does not come after it) and how it begins."""
    kept = _kept(run_id, plan=plan, step=step)
    found = ripple(plan, {**kept, step: RELEASED}, ended=list(kept))
    roots = [root for root in plan.definition.roots() if root not in kept and root != step]
    entry = [name for name in plan.steps if name in {step, *found.heads, *roots}]
    return Replay(
        entry=tuple(entry),
        kept=tuple(name for name in plan.steps if name in kept),
        skipped=tuple(found.skipped),
        blocked=tuple(found.blocked),
    )


def _kept(run_id: UUID, *, plan: Plan, step: str) -> dict[str, Mark]:
    """Return the marks of the steps whose rows a replay from `step` keeps; never of `step` or a step behind it."""
    after = behind(plan, [step]) | {step}
    known = marks.whole([run_id]).get(run_id, {})
    return {name: mark for name, mark in known.items() if name not in after and _stays(plan, name, mark)}


def _stays(plan: Plan, step: str, mark: Mark) -> bool:
    """Whether a replay may keep this step's row: it succeeded, was skipped by its `if`, or its failure was handled.

    Never for a step that this version does not have, or a step of on_failure or finally.
    """
    planned = plan.steps.get(step)
    if planned is None or planned.handler:
        return False
    if mark.state is StepState.FAILED:
        return planned.definition.on_error != "fail"
    return mark.state is StepState.SUCCEEDED or (mark.state is StepState.SKIPPED and not mark.blocked)
