"""Make one attempt at one step of one run: evaluate its `if`, render its config, call its action, build the result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from types import CoroutineType
from uuid import UUID

from uuid_utils.compat import uuid7

from actions import expressions, payload
from actions.base import Json, Park, Permanent, Spawn
from runs.domain.outcomes import Child, HeldClaim, Outcome, StepResult, Streamed
from runs.domain.states import StepState
from runs.engine import event_loop, memory_limit
from runs.engine.config import fitted, rendered
from runs.engine.context import AttemptContext
from runs.engine.failure import Tried, failed
from runs.engine.scope import step_input
from runs.engine.work import Work
from runs.planning.joins import Mark, Verdict, decide
from runs.planning.plan import Link, Plan
from runs.planning.steps import PlannedStep
from workflows.definitions.definition import ForEach

# A step whose action this code does not know is checked again after this time.
BLOCKED_SECONDS = 5.0
# A module global, because looking a member up in its enum class is slow.
_SUCCEEDED = StepState.SUCCEEDED


def walk(plan: Plan, link: Link, work: Work) -> tuple[StepResult, ...]:
    """Perform the steps of an inline link in turn, and stop after a step that is to be retried or that waits.

    Return one result per step. If a step's predecessor did not succeed, the step's join decides whether it runs.
    """
    results: list[StepResult] = []
    # The outputs that later steps read: those that were loaded, and each step's own as it ends.
    steps = dict(work.steps)
    own = Work(work.run, work.item, steps, *work[3:])  # _replace takes twice as long
    before: StepResult | None = None
    for step in link.steps:
        if before is None:
            result = attempt(step, own)
            if work.attempt > 1 or work.attempts or work.edited is not None:
                # These belong to the head; the steps behind it are at their first attempt.
                own = own._replace(attempt=1, attempts=[], edited=None)
        elif step.follows and before.state is _SUCCEEDED:
            result = attempt(step, own, began=before.finished_at)
        else:
            result = _decided(plan, step, own, results)
        before = result
        results.append(result)
        if result.state is not _SUCCEEDED and result.state in (StepState.RETRYING, StepState.WAITING):
            break
        steps[step.id] = {"output": result.output, "state": str(result.state), "error": result.error}
    return tuple(results)


def _decided(plan: Plan, step: PlannedStep, work: Work, results: Sequence[StepResult]) -> StepResult:
    """Return the result of a step that its join runs or skips: its predecessor failed or was skipped, or may do so."""
    # In a link, every step's only predecessor is the step before it.
    marks = {result.step: Mark(state=result.state, blocked=result.error is not None) for result in results}
    verdict = decide(plan, step, marks)
    if verdict is Verdict.RUN:
        return attempt(step, work, began=results[-1].finished_at)
    return _skipped(step, blocked=verdict is Verdict.BLOCK)


def attempt(step: PlannedStep, work: Work, *, began: datetime | None = None) -> StepResult:
    """Make one attempt at one step, or skip the step if its `if` is false. Never raises: a failure is a result, too.

    `began` is the time at which the previous step of the link ended; without it, the attempt begins now.
    """
    if step.definition.for_each is not None and work.item < 0:
        return _begin_list(step, work, each=step.definition.for_each)
    started_at = began or work.clock.now()
    given: Json = None
    used: Json = None
    try:
        given = _given(step, work)
        context = AttemptContext(step, work, given)
        if not step.unconditional and (instead := _instead(step, context, work)) is not None:
            return instead
        used = step.template if step.as_written else rendered(step, context.scope, given=given)
        answer = step.action.perform(fitted(step, used), context)
        if isinstance(answer, CoroutineType):
            answer = event_loop.perform(answer, step=step.id, timeout_seconds=step.timeout_seconds)
        if isinstance(answer, (Park, Spawn)):
            return _waiting_or_started(step, work, answer, used=used, started_at=started_at)
        output = payload.clean(answer)
    except Exception as error:  # the one boundary: whatever an action raises fails the step, not the worker
        memory_limit.end_if_met(error)
        return failed(step, work, error, Tried(started_at, given, used))
    return _succeeded(step, work, output, used, started_at)


def _instead(step: PlannedStep, context: AttemptContext, work: Work) -> StepResult | None:
    """Return the result of a step that cannot be performed: its `if` is false, or this code does not know its action.

    Return None for a step that can.
    """
    if step.condition is not None and not _holds(step.condition, context.names):
        return _skipped(step, blocked=False)
    return None if step.missing_action is None else _blocked(step, work)


def _holds(condition: str, names: dict[str, Json]) -> bool:
    return expressions.truthy(expressions.evaluate(condition, names))


def _succeeded(step: PlannedStep, work: Work, output: Json, used: Json, started_at: datetime) -> StepResult:
    """Return a success that ends now. Its config is stored only if it was rendered from expressions."""
    config = used if step.has_expressions else None
    now = work.clock.now()
    # By position, because that takes half as long, and one is made for every step of every run.
    return StepResult(step.id, _SUCCEEDED, output, None, config, work.attempt, work.attempts, started_at, now)


def _waiting_or_started(
    step: PlannedStep, work: Work, answer: Park | Spawn, *, used: Json, started_at: datetime
) -> StepResult:
    """Return the result of a step whose action returned Park or Spawn: it waits.

    With a Spawn without `wait` the step has succeeded: nothing waits for the sub-workflow run that it starts.
    """
    child = _child(answer) if isinstance(answer, Spawn) else None
    output = payload.clean(_output(step, answer, child))
    result = _succeeded(step, work, output, used, started_at)._replace(child=child)
    if isinstance(answer, Spawn):
        return result._replace(state=StepState.WAITING, awaits=1, finished_at=None) if answer.wait else result
    return result._replace(
        state=StepState.WAITING,
        wake_at=answer.wake_at,
        signal=answer.signal,
        signal_key=answer.key,
        finished_at=None,
    )


def _given(step: PlannedStep, work: Work) -> Json:
    """Return the step's input: the item in a for_each, and otherwise what a retry by hand put in its place, if any."""
    if work.item >= 0:
        return work.value
    return step_input(step, work.run, work.steps) if work.edited is None else work.edited


def _begin_list(step: PlannedStep, work: Work, *, each: ForEach) -> StepResult:
    """Return the first result of a for_each step: it waits, with its list. With an empty list it succeeds at once."""
    started_at = work.clock.now()
    given: Json = None
    try:
        given = _given(step, work)
        names = AttemptContext(step, work, given).names
        condition = None if step.asks_each_item else step.definition.if_
        if condition is not None and not _holds(condition, names):
            return _skipped(step, blocked=False)
        items = _items(step, each, work, names)
    except Exception as error:  # as in attempt
        memory_limit.end_if_met(error)
        return failed(step, work, error, Tried(started_at, given))
    result = StepResult(step.id, StepState.WAITING, attempt=work.attempt, attempts=work.attempts, started_at=started_at)
    now = work.clock.now()
    if items.length if isinstance(items, Streamed) else items:
        return result._replace(wake_at=now, items=items)
    empty: Json = {"count": 0, "succeeded": 0, "failed": 0, "skipped": 0, "results": []}
    return result._replace(state=StepState.SUCCEEDED, output=empty, finished_at=now)


def _items(step: PlannedStep, each: ForEach, work: Work, names: dict[str, Json]) -> list[Json] | Streamed:
    """Return the list of a for_each step, or how long it is if it is the results of another for_each step."""
    if each.streamed is None:
        return _list_of(step, payload.clean(expressions.render(each.items, names)))
    source = work.steps.get(each.streamed) or {}
    output = source.get("output")
    if source.get("state") != StepState.SUCCEEDED or not isinstance(output, dict):
        state = source.get("state") or "not there"
        message = f"step {step.id!r}: steps.{each.streamed}.results cannot be read: the step is {state}"
        raise Permanent(f"{message}; give this step an `if` for that case", kind="for_each")
    count = output.get("count")
    return Streamed(count if isinstance(count, int) else 0)


def _list_of(step: PlannedStep, found: Json) -> list[Json]:
    if isinstance(found, list):
        return found
    what = "null" if found is None else f"{type(found).__name__} {str(found)[:100]!r}"
    raise Permanent(f"step {step.id!r}: for_each.items must be a list, not {what}", kind="for_each")


def claimed(work: Work, result: StepResult, *, process: UUID) -> Outcome:
    """Return the outcome of a claimed attempt, with the claim as its fence."""
    return Outcome(
        run=work.run,
        item=work.item,
        fence=HeldClaim(attempt=work.attempt, process=process),
        results=(result,),
        steps=work.steps,
    )


def _child(asked: Spawn) -> Child:
    return Child(id=uuid7(), asked=replace(asked, input=payload.clean(asked.input)))


def _output(step: PlannedStep, answer: Park | Spawn, child: Child | None) -> Json:
    """Return the output of a waiting step; with a sub-workflow that is the id of its run, before the run has ended."""
    if isinstance(answer, Park) and answer.wake_at is None and answer.signal is None:
        raise Permanent(f"action {step.action.name!r} parks for neither a moment nor a signal; give one", kind="action")
    if child is not None:
        return {"run": str(child.id)}
    if isinstance(answer, Spawn):
        return None
    return answer.output


def _blocked(step: PlannedStep, work: Work) -> StepResult:
    """Return the result of a step whose action this code does not know: it waits for a deploy.

    This does not count as an attempt. runs.maintenance.sweep checks again every BLOCKED_SECONDS.
    """
    reason = f" ({step.missing_reason})" if step.missing_reason else ""
    message = (
        f"action {step.missing_action!r} of step {step.id!r} is not known to this worker{reason}; the step waits, and "
        "goes on by itself once code that has the action is deployed"
    )
    return StepResult(
        step=step.id,
        state=StepState.WAITING,
        error={"kind": "unknown_action", "message": message},
        attempt=work.attempt - 1,
        attempts=work.attempts,
        started_at=work.clock.now(),
        wake_at=work.clock.now() + timedelta(seconds=BLOCKED_SECONDS),
    )


def _skipped(step: PlannedStep, *, blocked: bool) -> StepResult:
    reason: dict[str, Json] = {"kind": "upstream_failed", "message": "a step that it needs has failed"}
    return StepResult(step=step.id, state=StepState.SKIPPED, error=reason if blocked else None, attempt=0)
