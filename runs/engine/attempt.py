"""Perform one step of one run: decide whether it runs, render its config, call its action, name the outcome."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from uuid_utils.compat import uuid7

from actions import expressions, payload
from actions.base import Json, Park, Permanent, Spawn
from runs.domain.outcomes import Child, HeldClaim, Outcome, StepResult
from runs.domain.states import StepState
from runs.engine.config import fitted, rendered
from runs.engine.context import AttemptContext
from runs.engine.failure import Tried, failed
from runs.engine.scope import step_input
from runs.engine.work import Work
from runs.planning.joins import Mark, Verdict, decide
from runs.planning.plan import Link, Plan
from runs.planning.steps import PlannedStep
from workflows.definitions.definition import ForEach

# After this long a step whose action is not known is looked at again.
BLOCKED_SECONDS = 5.0
# A member is looked up slowly in its class.
_SUCCEEDED = StepState.SUCCEEDED


def walk(plan: Plan, link: Link, work: Work) -> tuple[StepResult, ...]:
    """Take a run through an inline link: every step in turn, up to and with the first that does not succeed."""
    results: list[StepResult] = []
    # Filled as they go; attempts after the head's are first ones.
    steps = dict(work.steps)
    own = Work(work.run, work.item, steps, *work[3:])  # _replace takes twice as long
    before: StepResult | None = None
    for step in link.steps:
        # In a link, every step's only parent is the one before.
        goes_on = before is None or (step.follows and before.state is _SUCCEEDED)
        if not goes_on and (verdict := decide(plan, step, _marks(results))) is not Verdict.RUN:
            result = _passed_by(step, blocked=verdict is Verdict.BLOCK)
        else:
            # Each begins when the one before it ended.
            result = attempt(step, own, began=None if before is None else before.finished_at)
        if before is None and (work.attempt > 1 or work.attempts or work.edited is not None):
            own = own._replace(attempt=1, attempts=[], edited=None)
        before = result
        results.append(result)
        if result.state is not _SUCCEEDED and result.state in (StepState.RETRYING, StepState.WAITING):
            break
        steps[step.id] = {"output": result.output, "state": str(result.state), "error": result.error}
    return tuple(results)


def _marks(results: Sequence[StepResult]) -> dict[str, Mark]:
    return {result.step: Mark(state=result.state, blocked=result.error is not None) for result in results}


def attempt(step: PlannedStep, work: Work, *, began: datetime | None = None) -> StepResult:
    """One attempt of one step, whose `if` is looked at first. Never raises: a failure is a result, too."""
    if step.definition.for_each is not None and work.item < 0:
        return _spread(step, work, each=step.definition.for_each)
    started_at = began or work.clock.now()
    given: Json = None
    used: Json = None
    try:
        given = _given(step, work)
        context = AttemptContext(step, work, given)
        if step.condition is not None and not expressions.truthy(expressions.evaluate(step.condition, context.names)):
            return _passed_by(step, blocked=False)
        if step.missing_action is not None:
            return _blocked(step, work)
        used = step.template if step.as_written else rendered(step, context.scope, given=given)
        config = fitted(step, used) if step.fixed_config is None else step.fixed_config
        answer = step.action.perform(config, context)
        child = _child(answer) if isinstance(answer, Spawn) else None
        asked = answer if isinstance(answer, (Park, Spawn)) else None
        output = payload.clean(answer if asked is None else _output(step, asked, child))
    except Exception as error:  # the one boundary: whatever an action raises is the step's failure, not ours
        return failed(step, work, error, Tried(started_at, given, used))
    told = used if step.has_expressions else None
    ended = work.clock.now()
    # By position: so it takes half as long, and there is one for every step of every run.
    result = StepResult(step.id, _SUCCEEDED, output, None, told, work.attempt, work.attempts, started_at, ended)
    if asked is None:
        return result
    if child is not None:
        result = result._replace(child=child)
    if isinstance(answer, Spawn) and answer.wait:
        return result._replace(state=StepState.WAITING, awaits=1, finished_at=None)
    if isinstance(answer, Park):
        return result._replace(
            state=StepState.WAITING,
            wake_at=answer.wake_at,
            signal=answer.signal,
            signal_key=answer.key,
            finished_at=None,
        )
    return result


def _given(step: PlannedStep, work: Work) -> Json:
    """The step's input; an item's is the item."""
    if work.item >= 0:
        return work.value
    return step_input(step, work.run, work.steps) if work.edited is None else work.edited


def _spread(step: PlannedStep, work: Work, *, each: ForEach) -> StepResult:
    """What a for_each begins with: its list, over which the step then waits. An empty one succeeds at once."""
    started_at = work.clock.now()
    given: Json = None
    try:
        given = _given(step, work)
        scope = AttemptContext(step, work, given).names
        condition = None if step.asks_each_item else step.definition.if_
        if condition is not None and not expressions.truthy(expressions.evaluate(condition, scope)):
            return _passed_by(step, blocked=False)
        items = _list_of(step, payload.clean(expressions.render(each.items, scope)))
    except Exception as error:  # as in attempt
        return failed(step, work, error, Tried(started_at, given))
    done: Json = {"count": 0, "succeeded": 0, "failed": 0, "skipped": 0, "results": []}
    result = StepResult(
        step=step.id,
        state=StepState.SUCCEEDED,
        output=done,
        attempt=work.attempt,
        attempts=work.attempts,
        started_at=started_at,
        finished_at=work.clock.now(),
    )
    if not items:
        return result
    return result._replace(
        state=StepState.WAITING, output=None, finished_at=None, wake_at=work.clock.now(), items=items
    )


def _list_of(step: PlannedStep, found: Json) -> list[Json]:
    if isinstance(found, list):
        return found
    what = "null" if found is None else f"{type(found).__name__} {str(found)[:100]!r}"
    raise Permanent(f"step {step.id!r}: for_each.items must be a list, not {what}", kind="for_each")


def claimed(work: Work, result: StepResult, *, process: UUID) -> Outcome:
    """What became of a claimed attempt, under the fence of its claim."""
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
    """What the step's row says: the child's run already while it waits for it."""
    if isinstance(answer, Park) and answer.wake_at is None and answer.signal is None:
        raise Permanent(f"action {step.action.name!r} parks for neither a moment nor a signal; give one", kind="action")
    if child is not None:
        return {"run": str(child.id)}
    if isinstance(answer, Spawn):
        return None
    return answer.output


def _blocked(step: PlannedStep, work: Work) -> StepResult:
    """The step waits for the code that has its action, and this is no attempt; runs.maintenance.sweep looks again."""
    message = (
        f"action {step.missing_action!r} of step {step.id!r} is not known to this worker; the step waits, and goes on "
        "by itself once code that has the action is deployed"
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


def _passed_by(step: PlannedStep, *, blocked: bool) -> StepResult:
    reason: dict[str, Json] = {"kind": "upstream_failed", "message": "a step that it needs has failed"}
    return StepResult(step=step.id, state=StepState.SKIPPED, error=reason if blocked else None, attempt=0)
