"""Let the parents of retried sub-workflow runs wait again, up to the top.

A fault in nested sub-workflows leaves one dead letter, at the run in which it happened; the runs above it have failed
because of that run. Its retry therefore takes them back to the moment at which they waited for it. An item of a
for_each waits again like a step, and its list goes on. A run that was stopped or compensated stays as it is, and so
does one that has handled the failure; `kept` tells so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from actions.base import Json
from runs.control import interventions
from runs.domain.actor import Actor
from runs.domain.states import RUN_ENDED, StepState
from runs.engine.marks import whole as marks_of_all
from runs.planning import plan as plans
from runs.planning.joins import RELEASED, Mark, Verdict, behind, decide
from runs.planning.plan import Plan
from runs.planning.steps import UNDO, Part
from runs.queries import sub_workflows
from runs.queries.database import columns, run

# Of the steps and items that wait again, as many are named in the history of their run.
_TOLD_STEPS = 50


class WayUp(NamedTuple):
    """A failed step of a run, or a failed item of a for_each, and the failed run that it had waited for.

    `item` is -1 for a step.
    """

    child: UUID
    parent: UUID
    step: str
    item: int
    attempt: int


def ways_up(run_ids: Sequence[UUID]) -> list[WayUp]:
    """Return the ways from these runs up to the top, as far as they may be gone. Nothing is locked yet."""
    return [WayUp(*row) for row in run(sub_workflows.ABOVE, runs=list(run_ids), undo=UNDO)]


def let_wait(won: Iterable[UUID], *, ways_up: Sequence[WayUp], locked: Mapping[UUID, UUID], actor: Actor) -> list[UUID]:
    """Let the runs above those that were `won` wait again, from the lowest to the highest; return them.

    `locked` has the version of each locked run that has failed, or whose work is still under way.
    """
    retried = frozenset(won)
    reached = set(retried)
    left = [one for one in ways_up if one.parent in locked and one.parent not in retried]
    told: dict[UUID, list[Json]] = {}
    # A parent may be reached by several ways, and by a longer one later.
    while level := [one for one in left if one.child in reached]:
        left = [one for one in left if one.child not in reached]
        waiting = _let_level_wait(level, locked=locked, actor=actor)
        reached.update(one.parent for one in waiting)
        for one in waiting:
            told.setdefault(one.parent, []).append(one.step if one.item < 0 else f"{one.step}[{one.item}]")
    details: dict[UUID, dict[str, Json]] = {
        run_id: {"steps": steps[:_TOLD_STEPS], "edited": []} for run_id, steps in told.items()
    }
    interventions.write("retry", details, actor=actor)
    return list(told)


def _let_level_wait(level: Sequence[WayUp], *, locked: Mapping[UUID, UUID], actor: Actor) -> list[WayUp]:
    """Let these steps and items wait again, except those whose failure was handled; return those."""
    plan_of = {one.parent: plans.load(locked[one.parent]) for one in level}
    marks_of = marks_of_all(list(plan_of))
    level = [one for one in level if _may_wait(one, plan=plan_of[one.parent], marks=marks_of.get(one.parent, {}))]
    if not level:
        return []
    blocked: list[tuple[UUID, str]] = []
    for run_id in dict.fromkeys(one.parent for one in level):
        steps = list(dict.fromkeys(one.step for one in level if one.parent == run_id))
        blocked += [(run_id, step) for step in blocked_behind(plan_of[run_id], marks_of[run_id], steps)]
    blocked_runs, blocked_steps = columns(blocked, 2)
    names = ("runs", "steps", "items", "attempts", "children")
    rows = [(one.parent, one.step, one.item, one.attempt, one.child) for one in level]
    won = run(
        sub_workflows.AWAIT_RETRIED,
        **dict(zip(names, columns(rows, len(names)), strict=True)),
        blocked_runs=blocked_runs,
        blocked_steps=blocked_steps,
        by=actor.user_id,
        why=actor.reason,
    )
    waiting = {row[0] for row in won}
    return [one for one in level if one.parent in waiting]


def _may_wait(way: WayUp, *, plan: Plan, marks: Mapping[str, Mark]) -> bool:
    """Whether the step of the work, or the list that the item is of, goes on when the run below does.

    It does not where the failure was handled: by the list's `on_item_error`, or by the `on_error` of the step.
    """
    planned = plan.steps.get(way.step)
    if planned is None or planned.part is not Part.MAIN:
        return False
    fails = planned.definition.on_error == "fail"
    if way.item < 0:
        return fails
    each = planned.definition.for_each
    if each is None or each.on_item_error != "fail" or way.step not in marks:
        return False
    return fails or marks[way.step].state is not StepState.FAILED


def kept(run_ids: Iterable[UUID]) -> dict[UUID, str]:
    """Return, for runs that were retried: why a run above does not wait for it again, if that is so; one query."""
    wanted = list(run_ids)
    rows = run(sub_workflows.KEPT_ABOVE, runs=wanted, undo=UNDO) if wanted else ()
    return {row[0]: _kept(_Above(*row[1:])) for row in rows}


class _Above(NamedTuple):
    """A run that does not wait again, as KEPT_ABOVE reads it."""

    run_id: UUID
    workflow: str
    step: str
    superseded: bool
    state: str
    ending: str | None
    reason: str
    terminated: bool
    undone: bool


def _kept(above: _Above) -> str:
    says = f"run {above.run_id} of workflow {above.workflow!r} above does not wait for this run again"
    replay = "replay it if it is to go on"
    over = above.state in RUN_ENDED
    if above.superseded:
        return f"{says}: its step {above.step!r} has started another run in place of this one"
    if above.undone:
        did = "has ended and ran its compensations" if over else "is performing its compensations"
        return f"{says}: it {did}, which cannot be taken back; {replay}"
    if above.terminated:
        return f"{says}: it was terminated; {replay}"
    if above.reason == "timed_out":
        return f"{says}: it failed by its own timeout; {replay}"
    if not over and above.ending is not None:
        return f"{says}: it is performing what follows its work, which is {above.ending}; {replay} after that"
    return f"{says}: it is {above.state}, and its step {above.step!r} had handled the failure; {replay}"


def supersede(steps: Sequence[tuple[UUID, str]], *, actor: Actor) -> None:
    """Close the dead letters of the runs below these retried steps, which start new runs in their place."""
    if steps:
        runs, names = columns(steps, 2)
        run(sub_workflows.SUPERSEDE_LETTERS, runs=runs, steps=names, by=actor.user_id, why=actor.reason)


def blocked_behind(plan: Plan, marks: Mapping[str, Mark], steps: Sequence[str]) -> list[str]:
    """Return the steps that can come again: those that the failure of `steps` blocked, and those of handlers."""
    after = [step for step in behind(plan, steps) if step in marks and marks[step].blocked]
    known = {step: mark for step, mark in marks.items() if step not in after} | dict.fromkeys(steps, RELEASED)
    gone = []
    for step in plan.steps:
        if step not in after:
            continue
        if decide(plan, plan.steps[step], known) is Verdict.WAIT:
            gone.append(step)
        else:  # another failure blocks it too, and no step that comes again would decide about it
            known[step] = marks[step]
    return gone + [step for step in marks if plan.steps[step].handler]
