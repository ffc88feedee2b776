"""What somebody does to runs by hand: cancel, terminate, retry, replay, discard; each told in Intervention rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from django.db import transaction
from uuid_utils.compat import uuid7

from actions.base import Json
from runs.control import preconditions
from runs.domain.actor import Hand
from runs.domain.states import RunState, StepState
from runs.engine import columns, endings, for_each, stopping, sub_workflows
from runs.engine.release import skips
from runs.planning import plan as plans
from runs.planning.joins import RELEASED, Mark, Verdict, decide, ripple
from runs.planning.plan import Plan
from runs.planning.steps import UNDO, Part
from runs.queries import dead_letters, interventions, records, replays, retries, values
from runs.queries import marks as mark_queries
from runs.queries import sub_workflows as sub_workflow_queries
from runs.queries.database import Statement, run


@dataclass(frozen=True)
class Replay:
    """What a replay begins with and keeps: steps to release, and steps whose rows are copied.

    `skipped` and `blocked` are decided by what is kept: nothing that is still to come would look at them again. `key`
    is its idempotency key, `gate` what it shares a concurrency limit through.
    """

    entry: tuple[str, ...]
    kept: tuple[str, ...] = field(default_factory=tuple)
    skipped: tuple[str, ...] = field(default_factory=tuple)
    blocked: tuple[str, ...] = field(default_factory=tuple)
    key: str | None = None
    gate: int | None = None


@dataclass(frozen=True)
class _Again:
    """What a retry does in one run: steps that go again now, and steps that are to come again."""

    run_id: UUID
    steps: Sequence[str]
    later: Sequence[str]

    def told(self, edited: Mapping[tuple[UUID, str], Json]) -> dict[str, Json]:
        """The details of the intervention."""
        changed: list[Json] = [step for step in self.steps if edited.get((self.run_id, step)) is not None]
        undone: list[Json] = [step for step in self.later if step.startswith(UNDO)]
        return {"steps": [*self.steps, *undone], "edited": changed}


def cancel(run_ids: Sequence[UUID], *, hand: Hand) -> frozenset[UUID]:
    """Stop runs whose work is not over. A step that runs is told, and left to its worker: its outcome is written,
    and releases nothing. What `finally` says is still done. Answers the runs that this call cancelled.
    """
    with transaction.atomic():
        stopped = stopping.cancel(run_ids)
        tell("cancel", {run_id: {} for run_id in stopped.won}, hand=hand)
    return stopped.won


def terminate(run_ids: Sequence[UUID], *, hand: Hand) -> frozenset[UUID]:
    """End runs at once; what was to follow their work is given up. Answers the runs that this call ended."""
    with transaction.atomic():
        stopped = stopping.terminate(run_ids)
        tell("terminate", {run_id: {} for run_id in stopped.won}, hand=hand)
    return stopped.won


def cancel_orphans(*, hand: Hand, limit: int = preconditions.AT_ONCE) -> int:
    """Cancel the children that cancelled steps waited for, and theirs; each generation in a transaction of its own.

    Answers how many runs this call cancelled.
    """
    count = 0
    while found := sub_workflows.orphans(limit=limit):
        count += len(cancel([child for those in found.values() for child in those], hand=hand))
        sub_workflows.orphans_ended(list(found))
    return count


def retry(
    run_ids: Sequence[UUID],
    *,
    hand: Hand,
    steps: Mapping[UUID, Iterable[str]] | None = None,
    inputs: Mapping[tuple[UUID, str], Json] | None = None,
) -> frozenset[UUID]:
    """Let failed runs go on: their failed steps get a ticket, and what the failure had blocked is to come again.

    A run whose compensation failed goes on with that: what failed of it goes again, one after the other. `steps`
    narrows a run down to some of its failed steps, `inputs` replaces the input of one. The retry policy begins anew.
    Answers the runs that this call set going; a run with an input for a step that does not go on now, or for one
    whose list has begun, is not one of them.
    """
    edited = inputs or {}
    with transaction.atomic():
        below = [row[0] for row in run(sub_workflow_queries.OF_ENDINGS, runs=list(run_ids), undo=UNDO)]
        locked = _lock(run_ids, states=preconditions.RETRYABLE, children=below)
        past: dict[UUID, bool] = dict(run(retries.PAST_RETRY, runs=list(locked), undo=UNDO)) if locked else {}
        lists = for_each.begun([key for key, given in edited.items() if given is not None and key[0] in locked])
        work: list[_Again] = []
        undoing: list[_Again] = []
        wanted = [run_id for run_id in locked if past.get(run_id, True)]
        undoable = endings.undoable([run_id for run_id in wanted if run_id in past])
        for run_id, marks in _marks(wanted).items():
            plan = plans.load(locked[run_id])
            only = None if steps is None else frozenset(steps.get(run_id, ()))
            if run_id in past:
                again = _undone_again(run_id, plan, marks, order=undoable.get(run_id, ()), only=only)
            else:
                again = _worked_again(run_id, plan, marks, only=only)
            wrong = any(key[0] == run_id and (key[1] not in again.steps or key in lists) for key in edited)
            if again.steps and not wrong:
                (undoing if run_id in past else work).append(again)
        won = _go_again(retries.RETRY, work, edited=edited, hand=hand)
        won += _go_again(retries.RETRY_UNDO, undoing, edited=edited, hand=hand)
        for_each.again([(again.run_id, step) for again in work for step in again.steps])
        if below and won:
            run(sub_workflow_queries.LET_GO, children=below, runs=won)
        tell("retry", {again.run_id: again.told(edited) for again in work + undoing}, hand=hand)
        sub_workflows.awaited_again(won)  # the last locks: the rows of parents
    return frozenset(won)


def replay(run_id: UUID, found: Replay, *, version_id: UUID, given: Json, hand: Hand) -> UUID | None:
    """A new queued run that begins with `found.entry` and has the rows of the steps kept; the old one is untouched.

    `given` None keeps the old run's input. None where `found.key` is known to the workflow.
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
        tell("replay", {run_id: {"run": str(new), "steps": list(found.entry)}}, hand=hand)
    return new


def kept_for_replay(run_id: UUID, *, plan: Plan, step: str) -> Replay:
    """What a replay from `step` keeps: every ended step that does not come after it; and what that releases."""
    marks = _marks([run_id]).get(run_id, {})
    behind = _behind(plan, [step]) | {step}
    kept = {
        name: mark
        for name, mark in marks.items()
        if name in plan.steps and not plan.steps[name].handler and name not in behind and _stays(plan, name, mark)
    }
    found = ripple(plan, {**kept, step: RELEASED}, ended=list(kept))
    roots = [root for root in plan.definition.roots() if root not in kept and root != step]
    entry = [name for name in plan.steps if name in {step, *found.heads, *roots}]
    return Replay(
        entry=tuple(entry),
        kept=tuple(name for name in plan.steps if name in kept),
        skipped=tuple(found.skipped),
        blocked=tuple(found.blocked),
    )


def discard(letter_ids: Sequence[UUID], *, hand: Hand) -> frozenset[UUID]:
    """Close open dead letters for good; their runs stay failed. Answers those that this call closed."""
    with transaction.atomic():
        won = run(dead_letters.DISCARD, letters=list(letter_ids), by=hand.user_id, why=hand.why)
        told: dict[UUID, dict[str, Json]] = {}
        for _, run_id, step in won:
            told[run_id] = {"steps": [*_texts(told.get(run_id, {}).get("steps")), step]}
        tell("discard", told, hand=hand)
    return frozenset(row[0] for row in won)


def _lock(run_ids: Sequence[UUID], *, states: Iterable[RunState], children: Sequence[UUID]) -> dict[UUID, UUID]:
    """Version ids of the runs that are in one of these states, by run, locked in ascending order with the children."""
    wanted = [state.value for state in states]
    found = run(retries.LOCK, runs=list(run_ids), states=wanted, children=list(children))
    asked = set(run_ids)
    return {run_id: version_id for run_id, version_id, state in found if run_id in asked and state in wanted}


def _marks(run_ids: Sequence[UUID]) -> dict[UUID, dict[str, Mark]]:
    """Marks of every step that has a row or a ticket, read by a statement of its own."""
    found: dict[UUID, dict[str, Mark]] = {run_id: {} for run_id in run_ids}
    for run_id, step, state, blocked in run(mark_queries.VIEW, runs=list(run_ids)) if run_ids else []:
        if state is not None or step not in found[run_id]:
            found[run_id][step] = Mark(state=StepState(state) if state else None, blocked=bool(blocked))
    return found


def _worked_again(run_id: UUID, plan: Plan, marks: Mapping[str, Mark], *, only: frozenset[str] | None) -> _Again:
    """Failed steps of the work whose failure nothing handled, and what is to come again after them."""
    failed = [
        step
        for step, mark in marks.items()
        if mark.state is StepState.FAILED
        and plan.steps[step].definition.on_error == "fail"
        and not plan.steps[step].handler
        and (only is None or step in only)
    ]
    return _Again(run_id, failed, _blocked_behind(plan, marks, failed))


def _undone_again(
    run_id: UUID, plan: Plan, marks: Mapping[str, Mark], *, order: Iterable[str], only: frozenset[str] | None
) -> _Again:
    """The first compensation that failed; the others are to come after it, and then on_failure and finally."""
    undos = [plan.undos[step].id for step in order if step in plan.undos]
    failed = [
        undo
        for undo in undos
        if undo in marks and marks[undo].state is StepState.FAILED and (only is None or undo in only)
    ]
    handlers = [step for step in marks if plan.steps[step].part in (Part.ON_FAILURE, Part.FINALLY)]
    return _Again(run_id, failed[:1], [*failed[1:], *handlers])


def _go_again(
    statement: Statement, found: Sequence[_Again], *, edited: Mapping[tuple[UUID, str], Json], hand: Hand
) -> list[UUID]:
    """Set these runs going, which are locked; answers them."""
    if not found:
        return []
    now = [(again.run_id, step) for again in found for step in again.steps]
    later = [(again.run_id, step) for again in found for step in again.later]
    won = run(
        statement,
        runs=[key[0] for key in now],
        steps=[key[1] for key in now],
        inputs=[values.nullable(edited.get(key)) for key in now],
        blocked_runs=[key[0] for key in later],
        blocked_steps=[key[1] for key in later],
        by=hand.user_id,
        why=hand.why,
    )
    return [row[0] for row in won]


def _blocked_behind(plan: Plan, marks: Mapping[str, Mark], steps: Sequence[str]) -> list[str]:
    """What is to come again: steps that the failure had blocked, and what on_failure and finally did after it."""
    behind = [step for step in _behind(plan, steps) if step in marks and marks[step].blocked]
    known = {step: mark for step, mark in marks.items() if step not in behind} | dict.fromkeys(steps, RELEASED)
    gone = []
    for step in plan.steps:
        if step not in behind:
            continue
        if decide(plan, plan.steps[step], known) is Verdict.WAIT:
            gone.append(step)
        else:  # another failure blocks it all the same, and nothing that is to come would look at it again
            known[step] = marks[step]
    return gone + [step for step in marks if plan.steps[step].handler]


def _behind(plan: Plan, steps: Iterable[str]) -> set[str]:
    """Every step that comes after these, by needs or by jump."""
    found: set[str] = set()
    queue = list(steps)
    while queue:
        here = plan.steps[queue.pop()]
        goto = here.definition.goto
        for child in (*here.children, goto):
            if child is not None and child not in found:
                found.add(child)
                queue.append(child)
    return found


def _stays(plan: Plan, step: str, mark: Mark) -> bool:
    """Whether a replay keeps this step's row: it succeeded, was skipped by choice, or its failure was handled."""
    if mark.state is StepState.FAILED:
        return plan.steps[step].definition.on_error != "fail"
    return mark.state is StepState.SUCCEEDED or (mark.state is StepState.SKIPPED and not mark.blocked)


def _texts(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


def tell(verb: str, told: Mapping[UUID, Mapping[str, Json]], *, hand: Hand) -> None:
    """Write down what was done to each run, with its details, in the verb's own transaction."""
    if told:
        run(
            interventions.INTERVENE,
            verb=verb,
            by=hand.user_id,
            why=hand.why,
            runs=list(told),
            details=[values.dumps(dict(details)) for details in told.values()],
        )
