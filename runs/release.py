"""Work out what a record releases in each run: tickets to write, steps to skip, and how the run stands then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from actions import expressions, payload
from actions.base import ActionError, Json
from runs.joins import Mark, ripple
from runs.names import RunFacts, output_names
from runs.outcomes import HeldWait, LoadedSteps, Outcome, StepResult
from runs.plan import Plan
from runs.states import RunState, StepState

# Seconds until a ticket that is sent is knocked for again, doubled with each send.
REPEAT_SECONDS = 10.0


@dataclass(frozen=True)
class NextTicket:
    """A ticket to write: due and knocked for so many seconds from now, sent so many times already."""

    head: str
    due: float = 0.0
    knock: float = 0.0
    sends: int = 0
    suspect: bool = False


@dataclass(frozen=True)
class Release:
    """What follows for one run. `state` is None while it goes on as it is.

    `missing` names steps that the output of a succeeded run needs and that are not at hand.
    """

    run: RunFacts
    tickets: tuple[NextTicket, ...] = ()
    skipped: tuple[StepResult, ...] = ()
    state: RunState | None = None
    output: Json = None
    error: dict[str, Json] | None = None
    at_hand: LoadedSteps = field(default_factory=dict)
    missing: frozenset[str] = frozenset()


def release(plan: Plan, outcome: Outcome, marks: Mapping[str, Mark], *, carried: str | None) -> Release:
    """What one outcome comes to, given the run's marks with the outcome's own in them.

    In a plan that is one path the marks before this link do not matter. `carried` is the head that the chain goes
    on to: its ticket counts as sent.
    """
    ended = [r.step for r in outcome.results if r.state not in (StepState.RETRYING, StepState.WAITING)]
    found = ripple(plan, marks, ended=ended)
    tickets = [_ticket(head, carried=carried) for head in found.heads] + _retries(outcome)
    skipped = _skips(found.skipped, blocked=False) + _skips(found.blocked, blocked=True)
    state = _state(plan, marks, tickets=tickets, woken=isinstance(outcome.fence, HeldWait))
    at_hand = _at_hand(outcome, skipped)
    succeeded = state is RunState.SUCCEEDED
    return Release(
        run=outcome.run,
        tickets=tuple(tickets),
        skipped=tuple(skipped),
        state=state,
        error=_first_failure(plan, outcome, marks) if state is RunState.FAILED else None,
        at_hand=at_hand if succeeded else {},
        missing=frozenset(plan.step_ids(plan.output_reads)) - at_hand.keys() if succeeded else frozenset(),
    )


def finished(plan: Plan, found: Release, *, fetched: LoadedSteps) -> Release:
    """The release of a succeeded run with its output. An `output` that cannot be rendered fails the run."""
    if found.state is not RunState.SUCCEEDED:
        return found
    steps = {**found.at_hand, **fetched}
    if plan.definition.output is None:
        return replace(found, output=_leaf_output(plan, steps))
    try:
        rendered = expressions.render(plan.definition.output, output_names(found.run, steps))
        return replace(found, output=payload.clean(rendered))
    except ActionError as error:
        problem: dict[str, Json] = {"kind": error.kind, "message": f"the workflow's output: {error}"}
        return replace(found, state=RunState.FAILED, error=problem)


def _ticket(head: str, *, carried: str | None) -> NextTicket:
    return NextTicket(head, knock=REPEAT_SECONDS, sends=1) if head == carried else NextTicket(head)


def _retries(outcome: Outcome) -> list[NextTicket]:
    return [
        NextTicket(r.step, due=r.delay_seconds or 0.0, knock=r.delay_seconds or 0.0, suspect=r.suspect)
        for r in outcome.results
        if r.state is StepState.RETRYING
    ]


def _skips(steps: Sequence[str], *, blocked: bool) -> list[StepResult]:
    reason: dict[str, Json] = {"kind": "upstream_failed", "message": "a step that it needs has failed"}
    return [
        StepResult(step=step, state=StepState.SKIPPED, error=reason if blocked else None, attempt=0) for step in steps
    ]


def _state(plan: Plan, marks: Mapping[str, Mark], *, tickets: Sequence[NextTicket], woken: bool) -> RunState | None:
    states = [mark.state for mark in marks.values()]
    # A mark without a state is another branch's ticket.
    if tickets or any(state in (None, StepState.RUNNING, StepState.RETRYING) for state in states):
        return RunState.RUNNING if woken else None
    if StepState.WAITING in states:
        return RunState.WAITING
    failed = any(
        mark.state is StepState.FAILED and plan.steps[step].definition.on_error == "fail"
        for step, mark in marks.items()
    )
    return RunState.FAILED if failed else RunState.SUCCEEDED


def _first_failure(plan: Plan, outcome: Outcome, marks: Mapping[str, Mark]) -> dict[str, Json]:
    """The failure in hand; else one of an earlier branch, by its step's id alone."""
    for result in outcome.results:
        if result.state is StepState.FAILED and plan.steps[result.step].definition.on_error == "fail":
            return {"step": result.step, **(result.error or {})}
    step = next(
        key
        for key in plan.steps
        if key in marks and marks[key].state is StepState.FAILED and plan.steps[key].definition.on_error == "fail"
    )
    return {"step": step, "kind": "error", "message": f"step {step!r} failed"}


def _at_hand(outcome: Outcome, skipped: Sequence[StepResult]) -> LoadedSteps:
    found = dict(outcome.steps)
    for result in (*outcome.results, *skipped):
        found[result.step] = {"output": result.output, "state": result.state.value, "error": result.error}
    return found


def _leaf_output(plan: Plan, steps: LoadedSteps) -> Json:
    done = {leaf: steps[leaf]["output"] for leaf in plan.leaves if _succeeded(steps.get(leaf))}
    if len(plan.leaves) == 1:
        return done.get(plan.leaves[0])
    return done


def _succeeded(step: Mapping[str, Json] | None) -> bool:
    return step is not None and step["state"] == StepState.SUCCEEDED.value
