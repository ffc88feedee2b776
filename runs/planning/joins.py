"""The rules of joins: which steps a finished step releases, and which steps are skipped because they cannot run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from runs.domain.states import StepState
from runs.planning.plan import Plan
from runs.planning.steps import PlannedStep
from workflows.definitions.definition import Join


class ParentState(Enum):
    """What a step's state means to the steps that need it. OPEN: it has not ended yet."""

    OPEN = "open"
    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"


class Verdict(Enum):
    WAIT = "wait"
    RUN = "run"
    SKIP = "skip"
    # Skipped because a step before it failed. To the steps that need it, this counts as a failure.
    BLOCK = "block"


class Mark(NamedTuple):
    """What a join needs to know of a step: its row's state, or None if it has only a ticket.

    `blocked`: it was skipped because of a failure before it.
    """

    state: StepState | None
    blocked: bool = False


RELEASED = Mark(state=None)


@dataclass(frozen=True)
class Ripple:
    """What follows from steps that ended: `heads` are ready to run; `skipped` and, after a failure, `blocked` are not.

    Each in the order in which it was found.
    """

    heads: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    blocked: list[str] = field(default_factory=list)


def ripple(plan: Plan, marks: Mapping[str, Mark], *, ended: Iterable[str]) -> Ripple:
    """Work out what the steps in `ended` release. `marks` has every step with a row or a ticket, those included.

    A skipped step counts as ended in turn, so that all skips that follow from it are found as well.
    """
    known = dict(marks)
    found = Ripple()
    queue = list(ended)
    while queue:
        for candidate in after(plan.steps[queue.pop()]):
            if candidate in known:
                continue
            verdict = decide(plan, plan.steps[candidate], known)
            if verdict is Verdict.WAIT:
                continue
            if verdict is Verdict.RUN:
                known[candidate] = RELEASED
                found.heads.append(candidate)
                continue
            blocked = verdict is Verdict.BLOCK
            known[candidate] = Mark(state=StepState.SKIPPED, blocked=blocked)
            (found.blocked if blocked else found.skipped).append(candidate)
            queue.append(candidate)
    return found


def after(step: PlannedStep) -> list[str]:
    """Return the steps that may follow this one directly: those that need it, and the target of its `goto`."""
    goto = step.definition.goto
    return [*step.successors, goto] if goto is not None else list(step.successors)


def decide(plan: Plan, step: PlannedStep, marks: Mapping[str, Mark]) -> Verdict:
    """Decide whether a step without a row or ticket runs, waits or is skipped, by the marks of the steps before it."""
    if step.jumped_from:
        return _jump(step, marks)
    # A join may have thousands of branches, and is decided anew when each of them ends. So stop at the first open one.
    if step.definition.join not in EAGER and any(_open(plan, parent, marks) for parent in step.predecessors):
        return Verdict.WAIT
    states = [parent_state(plan.steps[parent], marks.get(parent)) for parent in step.predecessors]
    return _RULES[step.definition.join](states)


def _open(plan: Plan, step: str, marks: Mapping[str, Mark]) -> bool:
    mark = marks.get(step)
    return mark is None or parent_state(plan.steps[step], mark) is ParentState.OPEN


def parent_state(step: PlannedStep, mark: Mark | None) -> ParentState:
    """Return what a step's mark means to its successors. A failure with `on_error: continue` counts as success."""
    if mark is None or mark.state is None:
        return ParentState.OPEN
    if mark.state is StepState.SUCCEEDED:
        return ParentState.OK
    if mark.state is StepState.FAILED:
        return ParentState.OK if step.definition.on_error == "continue" else ParentState.FAILED
    if mark.state is StepState.SKIPPED:
        return ParentState.FAILED if mark.blocked else ParentState.SKIPPED
    if mark.state in (StepState.CANCELLED, StepState.COMPENSATED):
        return ParentState.FAILED
    return ParentState.OPEN


def _jump(step: PlannedStep, marks: Mapping[str, Mark]) -> Verdict:
    states = [marks[source].state if source in marks else None for source in step.jumped_from]
    if StepState.FAILED in states:
        return Verdict.RUN
    open_states = (None, StepState.RUNNING, StepState.RETRYING, StepState.WAITING)
    return Verdict.WAIT if any(state in open_states for state in states) else Verdict.SKIP


def _all_succeeded(standings: list[ParentState]) -> Verdict:
    if ParentState.OPEN in standings:
        return Verdict.WAIT
    if ParentState.FAILED in standings:
        return Verdict.BLOCK
    return Verdict.SKIP if ParentState.SKIPPED in standings else Verdict.RUN


def _none_failed(standings: list[ParentState]) -> Verdict:
    if ParentState.OPEN in standings:
        return Verdict.WAIT
    if ParentState.FAILED in standings:
        return Verdict.BLOCK
    return Verdict.RUN if ParentState.OK in standings else Verdict.SKIP


def _all_done(standings: list[ParentState]) -> Verdict:
    return Verdict.WAIT if ParentState.OPEN in standings else Verdict.RUN


def _any_succeeded(standings: list[ParentState]) -> Verdict:
    if ParentState.OK in standings:
        return Verdict.RUN
    if ParentState.OPEN in standings:
        return Verdict.WAIT
    return Verdict.BLOCK if ParentState.FAILED in standings else Verdict.SKIP


def _any_failed(standings: list[ParentState]) -> Verdict:
    if ParentState.FAILED in standings:
        return Verdict.RUN
    return Verdict.WAIT if ParentState.OPEN in standings else Verdict.SKIP


# These joins may be decided while some of their branches are still open.
EAGER = frozenset({Join.ANY_SUCCEEDED, Join.ANY_FAILED})
_RULES = {
    Join.ALL_SUCCEEDED: _all_succeeded,
    Join.NONE_FAILED: _none_failed,
    Join.ALL_DONE: _all_done,
    Join.ANY_SUCCEEDED: _any_succeeded,
    Join.ANY_FAILED: _any_failed,
}


def behind(plan: Plan, steps: Iterable[str]) -> set[str]:
    """Return every step that comes after these, directly or not, by `needs` or by `goto`."""
    found: set[str] = set()
    queue = list(steps)
    while queue:
        here = plan.steps[queue.pop()]
        goto = here.definition.goto
        for child in (*here.successors, goto):
            if child is not None and child not in found:
                found.add(child)
                queue.append(child)
    return found
