"""The transitions that somebody makes by hand: cancel, retry, replay, discard; each told in Intervention rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from django.db import transaction
from uuid_utils.compat import uuid7

from actions.base import Json
from runs import (
    child_queries,
    children,
    control_queries,
    ending_queries,
    items,
    queries,
    rows,
    standing,
    stopping,
)
from runs import plan as plans
from runs.database import run
from runs.joins import RELEASED, Mark, Verdict, decide, ripple
from runs.plan import UNDO, Plan
from runs.release import skips
from runs.states import RunState, StepState


@dataclass(frozen=True)
class Hand:
    """Who does it and why. `user_id` is None for a command on the server."""

    user_id: int | None = None
    why: str = ""


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


def cancel(run_ids: Sequence[UUID], *, hand: Hand) -> frozenset[UUID]:
    """Stop runs whose work is not over. A step that runs is told, and left to its worker: its outcome is written,
    and releases nothing. What `finally` says is still done. Answers the runs that this call cancelled.
    """
    with transaction.atomic():
        stopped = stopping.cancel(run_ids)
        tell("cancel", {run_id: {} for run_id in stopped.won}, hand=hand)
    return stopped.won


def cancel_orphans(*, hand: Hand, limit: int = standing.AT_ONCE) -> int:
    """Cancel the children that cancelled steps waited for, and theirs; each generation in a transaction of its own.

    Answers how many runs this call cancelled.
    """
    count = 0
    while found := children.orphans(limit=limit):
        count += len(cancel([child for those in found.values() for child in those], hand=hand))
        children.orphans_ended(list(found))
    return count


def retry(
    run_ids: Sequence[UUID],
    *,
    hand: Hand,
    steps: Mapping[UUID, Iterable[str]] | None = None,
    inputs: Mapping[tuple[UUID, str], Json] | None = None,
) -> frozenset[UUID]:
    """Let failed runs go on: their failed steps get a ticket, and what the failure had blocked is to come again.

    `steps` narrows a run down to some of its failed steps, `inputs` replaces the input of one. The retry policy
    begins anew. Answers the runs that this call set going; a run with an input for a step that does not go on, or
    for one whose list has begun, is not one of them.
    """
    edited = inputs or {}
    with transaction.atomic():
        below = [row[0] for row in run(child_queries.OF_ENDINGS, runs=list(run_ids))]
        locked = _lock(run_ids, states=standing.RETRYABLE, children=below)
        for past in run(ending_queries.PAST_RETRY, runs=list(locked), undo=UNDO) if locked else ():
            del locked[past[0]]
        lists = items.begun([key for key, given in edited.items() if given is not None and key[0] in locked])
        again: list[tuple[UUID, str, str | None]] = []
        blocked: list[tuple[UUID, str]] = []
        for run_id, marks in _marks(list(locked)).items():
            plan = plans.load(locked[run_id])
            failed = _failed(plan, marks, only=None if steps is None else steps.get(run_id, ()))
            if any(key[0] == run_id and (key[1] not in failed or key in lists) for key in edited):
                continue
            again += [(run_id, step, rows.nullable(edited.get((run_id, step)))) for step in failed]
            blocked += [(run_id, step) for step in _blocked_behind(plan, marks, failed)]
        if not again:
            return frozenset()
        won = run(
            control_queries.RETRY,
            runs=[one[0] for one in again],
            steps=[one[1] for one in again],
            inputs=[one[2] for one in again],
            blocked_runs=[one[0] for one in blocked],
            blocked_steps=[one[1] for one in blocked],
            by=hand.user_id,
            why=hand.why,
        )
        items.again([(run_id, step) for run_id, step, _ in again])
        if below:
            run(child_queries.LET_GO, children=below, runs=[row[0] for row in won])
        told: dict[UUID, dict[str, Json]] = {}
        for run_id, step, given in again:
            names = told.setdefault(run_id, {"steps": [], "edited": []})
            for key in ("steps", "edited") if given is not None else ("steps",):
                names[key] = [*_texts(names[key]), step]
        tell("retry", told, hand=hand)
    return frozenset(row[0] for row in won)


def replay(run_id: UUID, found: Replay, *, version_id: UUID, given: Json, hand: Hand) -> UUID | None:
    """A new queued run that begins with `found.entry` and has the rows of the steps kept; the old one is untouched.

    `given` None keeps the old run's input. None where `found.key` is known to the workflow.
    """
    new = uuid7()
    with transaction.atomic():
        made = run(
            control_queries.REPLAY,
            new=new,
            old=run_id,
            version=version_id,
            input=rows.nullable(given),
            entry=list(found.entry),
            kept=list(found.kept),
            key=found.key,
            gate=found.gate,
        )
        if not made:
            return None
        passed_by = [*skips(found.skipped, blocked=False), *skips(found.blocked, blocked=True)]
        if passed_by:
            run(queries.INSERT_STEPS, **rows.steps([(new, -1, result) for result in passed_by]))
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
        won = run(control_queries.DISCARD, letters=list(letter_ids), by=hand.user_id, why=hand.why)
        told: dict[UUID, dict[str, Json]] = {}
        for _, run_id, step in won:
            told[run_id] = {"steps": [*_texts(told.get(run_id, {}).get("steps")), step]}
        tell("discard", told, hand=hand)
    return frozenset(row[0] for row in won)


def _lock(run_ids: Sequence[UUID], *, states: Iterable[RunState], children: Sequence[UUID]) -> dict[UUID, UUID]:
    """Version ids of the runs that are in one of these states, by run, locked in ascending order with the children."""
    wanted = [state.value for state in states]
    found = run(control_queries.LOCK, runs=list(run_ids), states=wanted, children=list(children))
    asked = set(run_ids)
    return {run_id: version_id for run_id, version_id, state in found if run_id in asked and state in wanted}


def _marks(run_ids: Sequence[UUID]) -> dict[UUID, dict[str, Mark]]:
    """Marks of every step that has a row or a ticket, read by a statement of its own."""
    found: dict[UUID, dict[str, Mark]] = {run_id: {} for run_id in run_ids}
    for run_id, step, state, blocked in run(queries.VIEW, runs=list(run_ids)) if run_ids else []:
        if state is not None or step not in found[run_id]:
            found[run_id][step] = Mark(state=StepState(state) if state else None, blocked=bool(blocked))
    return found


def _failed(plan: Plan, marks: Mapping[str, Mark], *, only: Iterable[str] | None) -> list[str]:
    """Failed steps whose failure nothing handled."""
    wanted = None if only is None else set(only)
    return [
        step
        for step, mark in marks.items()
        if mark.state is StepState.FAILED
        and plan.steps[step].definition.on_error == "fail"
        and not plan.steps[step].handler
        and (wanted is None or step in wanted)
    ]


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
            control_queries.INTERVENE,
            verb=verb,
            by=hand.user_id,
            why=hand.why,
            runs=list(told),
            details=[rows.dumps(dict(details)) for details in told.values()],
        )
