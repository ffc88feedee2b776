"""Work out what a record releases in each run: tickets to write, steps to skip, and the run's new state."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from django.db import OperationalError

from actions import expressions, payload
from actions.base import Json
from actions.expressions import render_helper
from actions.helper_process import HelperBusy
from runs.domain.outcomes import NO_STEPS, HeldWait, LoadedSteps, Outcome, StepResult
from runs.domain.releases import REPEAT_SECONDS, NextTicket, Release
from runs.domain.states import RunState, StepState
from runs.engine import retry_policy
from runs.engine.scope import output_names
from runs.planning.joins import Mark, Ripple, ripple
from runs.planning.plan import Plan
from runs.planning.steps import Part

# The heads that the caller of a record takes further itself, if one is all that a run releases: their tickets are
# written as sent.
Carried = frozenset[str]
NOTHING: Carried = frozenset()
# The most courses that a plan caches.
_MAX_COURSES = 1000
# Marks of steps that are, or will be, performed. None: the step has a ticket and no row yet.
_UNDER_WAY = (None, StepState.RUNNING, StepState.RETRYING)


class _Caller(threading.local):
    """How this thread renders the output of runs."""

    def __init__(self) -> None:
        self.renders: Callable[[Json, Mapping[str, Json]], Json] = expressions.render


_caller = _Caller()


@contextmanager
def for_a_door() -> Iterator[None]:
    """Inside, somebody waits in a process that serves others: all outputs of runs take that process 50 ms at most.

    What takes longer is worked out by a helper process. Where that has too much to do, OperationalError is raised.
    """
    _caller.renders = render_helper.Renderer().render
    try:
        yield
    finally:
        _caller.renders = expressions.render


class _Course(NamedTuple):
    """What follows from results of certain kinds, the same for every run: heads to release, steps to skip, new state.

    `culprit` is the failed step that fails the run; `reads` are the steps that the run's output or error is made of.
    `again`: a step is to be retried. `output_is_last`: the run ends, and the last step's output is the run's output.
    """

    heads: tuple[str, ...]
    skipped: tuple[StepResult, ...]
    state: RunState | None
    culprit: str | None
    reads: frozenset[str]
    again: bool
    output_is_last: bool


def release(
    plan: Plan,
    outcome: Outcome,
    marks: Mapping[str, Mark],
    *,
    carried: Carried,
    ending: RunState | None = None,
) -> Release:
    """Return what follows from an outcome, given the marks of its run, those of the outcome included.

    With an `ending` the run's work is over, and only steps of the parts that follow the work release anything.
    """
    return _released(outcome, _course(plan, outcome, marks, ending=ending), carried=carried, ending=ending)


def release_along(plan: Plan, outcome: Outcome, *, carried: Carried) -> Release:
    """As `release`, in a linear plan, where marks of earlier steps do not matter.

    What follows from results of the same kinds is worked out once and cached in the plan.
    """
    woken = isinstance(outcome.fence, HeldWait)
    kinds: tuple[object, ...]
    if outcome.plain and not woken:
        kinds = (outcome.results[0].step, len(outcome.results))
    else:
        kinds = (woken, *[(r.step, r.state, r.error is None) for r in outcome.results])
    course = plan.courses.get(kinds)
    if course is None:
        marks = {
            r.step: Mark(state=r.state, blocked=r.state is StepState.SKIPPED and r.error is not None)
            for r in outcome.results
        }
        course = _course(plan, outcome, marks, ending=None)
        if len(plan.courses) < _MAX_COURSES:
            plan.courses[kinds] = course
    return _released(outcome, course, carried=carried, ending=None)


def _course(plan: Plan, outcome: Outcome, marks: Mapping[str, Mark], *, ending: RunState | None) -> _Course:
    last = outcome.last
    over = ending is not None and not plan.steps[last.step].handler
    again = not over and any(r.state is StepState.RETRYING for r in outcome.results)
    next_ = Ripple() if over else _ripple(plan, outcome, marks)
    woken = isinstance(outcome.fence, HeldWait)
    state = _state(plan, marks, goes_on=again or bool(next_.heads), woken=woken, ending=ending)
    culprit = _culprit(plan, outcome, marks, state=state, ending=ending)
    succeeded = state is RunState.SUCCEEDED and ending is None
    return _Course(
        heads=tuple(next_.heads),
        skipped=(*skips(next_.skipped, blocked=False), *skips(next_.blocked, blocked=True)),
        state=state,
        culprit=culprit,
        reads=_reads(plan, culprit=culprit, succeeded=succeeded),
        again=again,
        output_is_last=succeeded and _is_output(plan, last),
    )


def _ripple(plan: Plan, outcome: Outcome, marks: Mapping[str, Mark]) -> Ripple:
    """Return what the steps release that have ended with this outcome."""
    ended = [r.step for r in outcome.results if r.state not in (StepState.RETRYING, StepState.WAITING)]
    return ripple(plan, marks, ended=ended)


def _reads(plan: Plan, *, culprit: str | None, succeeded: bool) -> frozenset[str]:
    """Return the steps that the run's error or output is made of; none while the run goes on."""
    if culprit is not None:
        return frozenset({culprit})
    return frozenset(plan.step_ids(plan.output_reads)) if succeeded else frozenset()


def _is_output(plan: Plan, last: StepResult) -> bool:
    """Whether the output of this step is the run's: the workflow defines no `output` and has this one last step."""
    return plan.definition.output is None and plan.leaves == [last.step] and last.state is StepState.SUCCEEDED


def _released(outcome: Outcome, course: _Course, *, carried: Carried, ending: RunState | None) -> Release:
    if course.output_is_last:  # most runs end like this
        return Release(outcome.run, (), course.skipped, course.state, outcome.last.output, complete=True)
    at_hand = _at_hand(outcome, course) if course.reads else NO_STEPS
    # Of several heads the caller takes none further: that would put off the others.
    taken = carried if len(course.heads) == 1 else NOTHING
    tickets = [_ticket(head, carried=taken) for head in course.heads]
    if course.again:
        tickets += retries(outcome)
    return Release(
        run=outcome.run,
        tickets=tuple(tickets),
        skipped=course.skipped,
        state=course.state,
        culprit=course.culprit,
        ending=ending,
        at_hand=at_hand,
        missing=course.reads - at_hand.keys(),
    )


def finished(plan: Plan, found: Release, *, fetched: LoadedSteps) -> Release:
    """Return the release with the output or error of its run, if that ends. An invalid `output` expression fails it.

    `fetched` are the steps that the release named as `missing`.
    """
    if found.complete:
        return found
    steps = {**found.at_hand, **fetched}
    if found.culprit is not None:
        cause = steps[found.culprit]["error"]
        return found._replace(error={"step": found.culprit, **(cause if isinstance(cause, dict) else {})})
    if found.state is not RunState.SUCCEEDED or found.ending is not None:
        return found
    if plan.definition.output is None:
        return found._replace(output=_leaf_output(plan, steps))
    try:
        rendered = _caller.renders(plan.definition.output, output_names(found.run, steps))
        return found._replace(output=payload.clean(rendered))
    except HelperBusy:
        raise OperationalError(
            "the run's output takes long to work out, and others are worked out just now; try again"
        ) from None
    except Exception as error:  # one run's expression must not fail the record of a whole set
        described = retry_policy.described(error)
        described["message"] = f"the workflow's output: {described['message']}"
        return found._replace(state=RunState.FAILED, error=described, dead_reason="output")


def _ticket(head: str, *, carried: Carried) -> NextTicket:
    return NextTicket(head, knock=REPEAT_SECONDS, sends=1) if head in carried else NextTicket(head)


def retries(outcome: Outcome) -> list[NextTicket]:
    """Return the tickets of the results that are to be retried."""
    return [
        NextTicket(r.step, due=r.delay_seconds or 0.0, knock=r.delay_seconds or 0.0, suspect=r.suspect)
        for r in outcome.results
        if r.state is StepState.RETRYING
    ]


def skips(steps: Sequence[str], *, blocked: bool) -> list[StepResult]:
    """Return results for steps that are skipped; `blocked`: because a step before them failed."""
    reason: dict[str, Json] = {"kind": "upstream_failed", "message": "a step that it needs has failed"}
    return [
        StepResult(step=step, state=StepState.SKIPPED, error=reason if blocked else None, attempt=0) for step in steps
    ]


def compensating(plan: Plan, marks: Mapping[str, Mark]) -> bool:
    """Whether a compensation of the run has begun; from then on the run stays `compensating` until its end."""
    return any(undo.id in marks for undo in plan.undos.values())


def _state(
    plan: Plan,
    marks: Mapping[str, Mark],
    *,
    goes_on: bool,
    woken: bool,
    ending: RunState | None,
) -> RunState | None:
    """Return the state that the run changes to; None if its state stays as it is."""
    states = [mark.state for mark in marks.values()]
    if goes_on or any(state in _UNDER_WAY for state in states):
        return RunState.RUNNING if woken and not compensating(plan, marks) else None
    if StepState.WAITING in states:
        return None if compensating(plan, marks) else RunState.WAITING
    return _end(plan, marks, ending=ending)


def _end(plan: Plan, marks: Mapping[str, Mark], *, ending: RunState | None) -> RunState:
    """Return the state in which a run without open steps ends. A failure in `finally` fails a run whose work succeeded.

    With an `ending` other than success, the run ends as that says.
    """
    if ending not in (None, RunState.SUCCEEDED):
        return ending
    failed = any(_fails(plan, step, mark.state, part=_decisive(ending)) for step, mark in marks.items())
    return RunState.FAILED if failed else RunState.SUCCEEDED


def _decisive(ending: RunState | None) -> Part:
    """Return the part whose failures fail the run now: the work, or `finally` once the work is over."""
    return Part.MAIN if ending is None else Part.FINALLY


def _fails(plan: Plan, step: str, state: StepState | None, *, part: Part) -> bool:
    """Whether this step makes the run fail: it is of this part, it failed, and nothing handles that."""
    planned = plan.steps[step]
    return state is StepState.FAILED and planned.part is part and planned.definition.on_error == "fail"


def _culprit(
    plan: Plan, outcome: Outcome, marks: Mapping[str, Mark], *, state: RunState | None, ending: RunState | None
) -> str | None:
    """Return the step whose failure makes the run fail: one of this outcome, else the first in the plan's order.

    Return None if the run does not fail, and if its work had failed before: then the run has its error already.
    """
    if state is not RunState.FAILED or ending is RunState.FAILED:
        return None
    part = _decisive(ending)
    states = {step: mark.state for step, mark in marks.items()}
    states |= {result.step: result.state for result in outcome.results}
    candidates = [*(result.step for result in outcome.results), *plan.steps]
    return next(step for step in candidates if _fails(plan, step, states.get(step), part=part))


def _at_hand(outcome: Outcome, course: _Course) -> LoadedSteps:
    """Return the steps that the course reads, as far as this outcome knows them."""
    found = dict(outcome.steps)
    for result in (*outcome.results, *course.skipped):
        if result.step in course.reads:
            found[result.step] = {"output": result.output, "state": str(result.state), "error": result.error}
    return found


def _leaf_output(plan: Plan, steps: LoadedSteps) -> Json:
    done = {leaf: steps[leaf]["output"] for leaf in plan.leaves if _succeeded(steps.get(leaf))}
    if len(plan.leaves) == 1:
        return done.get(plan.leaves[0])
    return done


def _succeeded(step: Mapping[str, Json] | None) -> bool:
    return step is not None and step["state"] == StepState.SUCCEEDED.value
