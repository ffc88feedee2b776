"""Work out what a record releases in each run: tickets to write, steps to skip, and how the run stands then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from actions import expressions, payload
from actions.base import Json
from runs.domain.outcomes import NO_STEPS, HeldWait, LoadedSteps, Outcome, StepResult
from runs.domain.releases import REPEAT_SECONDS, NextTicket, Release
from runs.domain.states import RunState, StepState
from runs.engine import retry_policy
from runs.engine.scope import output_names
from runs.planning.joins import Mark, Ripple, ripple
from runs.planning.plan import Plan
from runs.planning.steps import Part

# Kinds of results whose course a plan keeps.
_MAX_COURSES = 1000
# States in which a step is still to be performed, or is being performed. None: another branch's ticket, without a row.
_UNDER_WAY = (None, StepState.RUNNING, StepState.RETRYING)


class _Course(NamedTuple):
    """What results of these kinds come to, whatever the run: heads to release, steps to skip, how the run stands.

    `again`: something is to be tried again. `answers`: the last step's output is the run's, and nothing follows.
    """

    heads: tuple[str, ...]
    skipped: tuple[StepResult, ...]
    state: RunState | None
    culprit: str | None
    reads: frozenset[str]
    again: bool
    answers: bool


def release(
    plan: Plan,
    outcome: Outcome,
    marks: Mapping[str, Mark],
    *,
    carried: str | None,
    ending: RunState | None = None,
) -> Release:
    """What one outcome comes to, given the run's marks with the outcome's own in them.

    `carried` is the head that the chain goes on to: its ticket counts as sent. With an `ending` the work is over:
    only steps of what follows it release.
    """
    return _released(outcome, _course(plan, outcome, marks, ending=ending), carried=carried, ending=ending)


def release_along(plan: Plan, outcome: Outcome, *, carried: str | None) -> Release:
    """The same in a plan that is one path, where the marks before this link do not matter.

    What results of the same kinds come to is worked out once for the plan.
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
        answers=succeeded and _is_output(plan, last),
    )


def _ripple(plan: Plan, outcome: Outcome, marks: Mapping[str, Mark]) -> Ripple:
    """What the steps release that have ended with this outcome."""
    ended = [r.step for r in outcome.results if r.state not in (StepState.RETRYING, StepState.WAITING)]
    return ripple(plan, marks, ended=ended)


def _reads(plan: Plan, *, culprit: str | None, succeeded: bool) -> frozenset[str]:
    """The steps that the run's error or its output is made of; none while it goes on."""
    if culprit is not None:
        return frozenset({culprit})
    return frozenset(plan.step_ids(plan.output_reads)) if succeeded else frozenset()


def _is_output(plan: Plan, last: StepResult) -> bool:
    """Whether this step's output is the run's: the workflow defines no `output`, and this is its only last step."""
    return plan.definition.output is None and plan.authorizations == [last.step] and last.state is StepState.SUCCEEDED


def _released(outcome: Outcome, course: _Course, *, carried: str | None, ending: RunState | None) -> Release:
    if course.answers:  # as most runs end
        return Release(outcome.run, (), course.skipped, course.state, outcome.last.output, told=True)
    at_hand = _at_hand(outcome, course) if course.reads else NO_STEPS
    tickets = [_ticket(head, carried=carried) for head in course.heads]
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
    """The release of an ended run with its output or error. An `output` that cannot be rendered fails the run."""
    if found.told:
        return found
    steps = {**found.at_hand, **fetched}
    if found.culprit is not None:
        told = steps[found.culprit]["error"]
        return found._replace(error={"step": found.culprit, **(told if isinstance(told, dict) else {})})
    if found.state is not RunState.SUCCEEDED or found.ending is not None:
        return found
    if plan.definition.output is None:
        return found._replace(output=_leaf_output(plan, steps))
    try:
        rendered = expressions.render(plan.definition.output, output_names(found.run, steps))
        return found._replace(output=payload.clean(rendered))
    except Exception as error:  # the record of a whole set may not fail on one run's expression
        told = retry_policy.described(error)
        return found._replace(
            state=RunState.FAILED, error={**told, "message": f"the workflow's output: {told['message']}"}
        )


def _ticket(head: str, *, carried: str | None) -> NextTicket:
    return NextTicket(head, knock=REPEAT_SECONDS, sends=1) if head == carried else NextTicket(head)


def retries(outcome: Outcome) -> list[NextTicket]:
    """The tickets of what is to be tried again."""
    return [
        NextTicket(r.step, due=r.delay_seconds or 0.0, knock=r.delay_seconds or 0.0, suspect=r.suspect)
        for r in outcome.results
        if r.state is StepState.RETRYING
    ]


def skips(steps: Sequence[str], *, blocked: bool) -> list[StepResult]:
    """The rows of steps that are skipped; `blocked`: because of a failure before them."""
    reason: dict[str, Json] = {"kind": "upstream_failed", "message": "a step that it needs has failed"}
    return [
        StepResult(step=step, state=StepState.SKIPPED, error=reason if blocked else None, attempt=0) for step in steps
    ]


def compensating(plan: Plan, marks: Mapping[str, Mark]) -> bool:
    """Whether the run has begun to compensate; it then stays `compensating` to its end."""
    return any(undo.id in marks for undo in plan.undos.values())


def _state(
    plan: Plan,
    marks: Mapping[str, Mark],
    *,
    goes_on: bool,
    woken: bool,
    ending: RunState | None,
) -> RunState | None:
    """The state that the run changes to; None where it stays in the one that it is in."""
    states = [mark.state for mark in marks.values()]
    if goes_on or any(state in _UNDER_WAY for state in states):
        return RunState.RUNNING if woken and not compensating(plan, marks) else None
    if StepState.WAITING in states:
        return None if compensating(plan, marks) else RunState.WAITING
    return _end(plan, marks, ending=ending)


def _end(plan: Plan, marks: Mapping[str, Mark], *, ending: RunState | None) -> RunState:
    """The state in which a run ends that has nothing left: a step that failed in `finally` fails a success, too."""
    if ending not in (None, RunState.SUCCEEDED):
        return ending
    failed = any(_fails(plan, step, mark.state, part=_decisive(ending)) for step, mark in marks.items())
    return RunState.FAILED if failed else RunState.SUCCEEDED


def _decisive(ending: RunState | None) -> Part:
    """The part of the workflow whose failures fail the run now: the work, or `finally` once the work is over."""
    return Part.MAIN if ending is None else Part.FINALLY


def _fails(plan: Plan, step: str, state: StepState | None, *, part: Part) -> bool:
    """Whether this step makes the run fail: it failed, and nothing handles that."""
    planned = plan.steps[step]
    return state is StepState.FAILED and planned.part is part and planned.definition.on_error == "fail"


def _culprit(
    plan: Plan, outcome: Outcome, marks: Mapping[str, Mark], *, state: RunState | None, ending: RunState | None
) -> str | None:
    """The step whose failure is the run's: the one in hand, else the first in the plan's order.

    None where the run does not fail, and where its work failed before: then its error is written already.
    """
    if state is not RunState.FAILED or ending is RunState.FAILED:
        return None
    part = _decisive(ending)
    states = {step: mark.state for step, mark in marks.items()}
    states |= {result.step: result.state for result in outcome.results}
    candidates = [*(result.step for result in outcome.results), *plan.steps]
    return next(step for step in candidates if _fails(plan, step, states.get(step), part=part))


def _at_hand(outcome: Outcome, course: _Course) -> LoadedSteps:
    """The steps that it reads, as far as they are known."""
    found = dict(outcome.steps)
    for result in (*outcome.results, *course.skipped):
        if result.step in course.reads:
            found[result.step] = {"output": result.output, "state": str(result.state), "error": result.error}
    return found


def _leaf_output(plan: Plan, steps: LoadedSteps) -> Json:
    done = {leaf: steps[leaf]["output"] for leaf in plan.authorizations if _succeeded(steps.get(leaf))}
    if len(plan.authorizations) == 1:
        return done.get(plan.authorizations[0])
    return done


def _succeeded(step: Mapping[str, Json] | None) -> bool:
    return step is not None and step["state"] == StepState.SUCCEEDED.value
