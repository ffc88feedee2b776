"""Let the parents of retried sub-workflow runs wait again, up to the top.

A fault in nested sub-workflows leaves one dead letter, at the run in which it happened; the runs above it have failed
because of that run. Its retry therefore takes them back to the moment at which they waited for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from actions.base import Json
from runs.control import interventions
from runs.domain.actor import Actor
from runs.engine.marks import whole as marks_of_all
from runs.planning import plan as plans
from runs.planning.joins import RELEASED, Mark, Verdict, behind, decide
from runs.planning.plan import Plan
from runs.planning.steps import UNDO, Part
from runs.queries import sub_workflows
from runs.queries.database import columns, run


class WayUp(NamedTuple):
    """A failed step of a failed run, and the failed run that it had waited for."""

    child: UUID
    parent: UUID
    step: str
    attempt: int


def ways_up(run_ids: Sequence[UUID]) -> list[WayUp]:
    """Return the ways from these runs up to the top, as far as they may be gone. Nothing is locked yet."""
    return [WayUp(*row) for row in run(sub_workflows.ABOVE, runs=list(run_ids), undo=UNDO)]


def let_wait(won: Iterable[UUID], *, ways_up: Sequence[WayUp], locked: Mapping[UUID, UUID], actor: Actor) -> list[UUID]:
    """Let the runs above those that were `won` wait again, from the lowest to the highest; return them.

    `locked` has the version of each locked run that has failed.
    """
    reached = set(won)
    found: list[UUID] = []
    while level := [
        one for one in ways_up if one.child in reached and one.parent in locked and one.parent not in reached
    ]:
        waiting = _let_level_wait(level, locked=locked, actor=actor)
        if not waiting:
            break
        reached.update(waiting)
        found += waiting
    return found


def _let_level_wait(level: Sequence[WayUp], *, locked: Mapping[UUID, UUID], actor: Actor) -> list[UUID]:
    plan_of = {one.parent: plans.load(locked[one.parent]) for one in level}
    level = [one for one in level if _fails_its_run(plan_of[one.parent], one.step)]
    parents = list(dict.fromkeys(one.parent for one in level))
    if not parents:
        return []
    blocked: list[tuple[UUID, str]] = []
    for run_id, marks in marks_of_all(parents).items():
        steps = [one.step for one in level if one.parent == run_id]
        blocked += [(run_id, step) for step in blocked_behind(plan_of[run_id], marks, steps)]
    blocked_runs, blocked_steps = columns(blocked, 2)
    runs, steps_, attempts, children = columns([(one.parent, one.step, one.attempt, one.child) for one in level], 4)
    rows = run(
        sub_workflows.AWAIT_RETRIED,
        runs=runs,
        steps=steps_,
        attempts=attempts,
        children=children,
        blocked_runs=blocked_runs,
        blocked_steps=blocked_steps,
        by=actor.user_id,
        why=actor.reason,
    )
    waiting = [row[0] for row in rows]
    told: dict[UUID, dict[str, Json]] = {
        run_id: {"steps": [one.step for one in level if one.parent == run_id], "edited": []} for run_id in waiting
    }
    interventions.write("retry", told, actor=actor)
    return waiting


def _fails_its_run(plan: Plan, step: str) -> bool:
    planned = plan.steps.get(step)
    return planned is not None and planned.part is Part.MAIN and planned.definition.on_error == "fail"


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
