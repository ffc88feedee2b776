"""Perform one step of one run: decide whether it runs, render its config, call its action, name the outcome."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from pydantic import ValidationError
from uuid_utils.compat import uuid7

from actions import expressions, payload
from actions.base import ActionError, Cancelled, Config, Context, Json, Park, Permanent, Retryable, Spawn
from runs import effects, lease, retry
from runs.joins import Mark, Verdict, decide
from runs.names import RunFacts, item_names, names, step_input
from runs.outcomes import Child, HeldClaim, LoadedSteps, Outcome, StepResult
from runs.plan import Link, Plan, PlannedStep
from runs.states import StepState
from workflows.definition import ForEach

# After this long a step whose action is not known is looked at again.
BLOCKED_SECONDS = 5.0


@dataclass(frozen=True)
class Clock:
    """The database's clock as this process reads it: its time at the load, moved on by the monotonic clock."""

    at: datetime
    mark: float = field(default_factory=time.monotonic)

    def now(self) -> datetime:
        """Now, by the database's clock."""
        return self.at + timedelta(seconds=time.monotonic() - self.mark)


@dataclass(frozen=True)
class Work:
    """One run at one link, as it was loaded or claimed."""

    run: RunFacts
    item: int
    steps: LoadedSteps
    clock: Clock
    attempt: int = 1
    attempts: list[Any] = field(default_factory=list)
    suspect: bool = False
    # The input that somebody put in the place of the step's own when retrying it by hand.
    edited: Json = None
    # What the item is, in a for_each.
    value: Json = None


@dataclass(frozen=True)
class Tried:
    """What is known of an attempt that failed; `outcome` is its word in the history, `reason` its dead letter's."""

    started_at: datetime
    given: Json = None
    used: Json = None
    outcome: str = "failed"
    reason: str = "failed"


def walk(plan: Plan, link: Link, work: Work) -> tuple[StepResult, ...]:
    """Take a run through an inline link: every step in turn, up to and with the first that does not succeed."""
    results: list[StepResult] = []
    steps = dict(work.steps)
    marks: dict[str, Mark] = {}
    for step in link.steps:
        if results and (verdict := decide(plan, step, marks)) is not Verdict.RUN:
            result = _passed_by(step, blocked=verdict is Verdict.BLOCK)
        else:
            own = replace(work, steps=steps)
            result = attempt(step, own if not results else replace(own, attempt=1, attempts=[], edited=None))
        results.append(result)
        if result.state in (StepState.RETRYING, StepState.WAITING):
            break
        marks[step.id] = Mark(state=result.state, blocked=result.error is not None)
        steps[step.id] = {"output": result.output, "state": result.state.value, "error": result.error}
    return tuple(results)


def attempt(step: PlannedStep, work: Work) -> StepResult:
    """One attempt of one step, whose `if` is looked at first. Never raises: a failure is a result, too."""
    if step.definition.for_each is not None and work.item < 0:
        return _spread(step, work, each=step.definition.for_each)
    started_at = work.clock.now()
    given: Json = None
    used: Json = None
    try:
        given, scope = _scope(step, work)
        condition = step.definition.if_ if work.item < 0 or step.asks_each_item else None
        if condition is not None and not expressions.truthy(expressions.evaluate(condition, scope)):
            return _passed_by(step, blocked=False)
        if step.missing_action is not None:
            return _blocked(step, work)
        used = rendered(step, scope, given=given)
        answer = _perform(step, work, used=used, given=given, scope=scope)
        child = _child(answer) if isinstance(answer, Spawn) else None
        output = payload.clean(_output(answer, child))
    except ActionError as error:
        return failed(step, work, error, Tried(started_at, given, used))
    except Exception as error:  # the one boundary: whatever an action raises is the step's failure, not ours
        return failed(step, work, error, Tried(started_at, given, used))
    result = StepResult(
        step=step.id,
        state=StepState.SUCCEEDED,
        output=output,
        config=used if step.has_expressions else None,
        attempt=work.attempt,
        attempts=work.attempts,
        started_at=started_at,
        finished_at=work.clock.now(),
        child=child,
    )
    if isinstance(answer, Spawn) and answer.wait:
        return replace(result, state=StepState.WAITING, awaits=1, finished_at=None)
    if isinstance(answer, Park):
        return replace(
            result,
            state=StepState.WAITING,
            wake_at=answer.wake_at,
            signal=answer.signal,
            signal_key=answer.key,
            finished_at=None,
        )
    return result


def _scope(step: PlannedStep, work: Work) -> tuple[Json, dict[str, Json]]:
    """The step's input, and the names for its expressions. An item's input is the item."""
    if work.item >= 0:
        return work.value, item_names(work.run, work.steps, item=work.value, index=work.item)
    given = step_input(step, work.run, work.steps) if work.edited is None else work.edited
    return given, names(step, work.run, work.steps, given=given)


def _spread(step: PlannedStep, work: Work, *, each: ForEach) -> StepResult:
    """What a for_each begins with: its list, over which the step then waits. An empty one succeeds at once."""
    started_at = work.clock.now()
    given: Json = None
    try:
        given, scope = _scope(step, work)
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
    return replace(
        result, state=StepState.WAITING, output=None, finished_at=None, wake_at=work.clock.now(), items=items
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


def rendered(step: PlannedStep, scope: dict[str, Json], *, given: Json) -> Json:
    """The step's config as its action gets it: expressions rendered, but for the fields it evaluates itself."""
    if step.definition.payload is not None:
        # A payload is input and config at once, and so is what was put in its place.
        return step.action.from_payload(given)
    template = step.definition.with_
    if not step.has_expressions:
        return template
    if not isinstance(template, dict):
        return expressions.render(template, scope)
    raw = step.action.raw
    if not raw:
        return expressions.render(template, scope)
    plain = expressions.render({key: value for key, value in template.items() if key not in raw}, scope)
    kept = {key: value for key, value in template.items() if key in raw}
    return {**plain, **kept} if isinstance(plain, dict) else plain


def failed(step: PlannedStep, work: Work, error: BaseException, tried: Tried) -> StepResult:
    """What a failed attempt comes to: retry policy first, then `on_error`, then a dead letter."""
    told = _cleaned(retry.described(error))
    known = error if isinstance(error, ActionError) else Retryable(retry.message(error))
    finished_at = work.clock.now()
    history = {
        "number": work.attempt,
        "outcome": tried.outcome,
        "error": told,
        "started_at": moment(tried.started_at),
        "finished_at": moment(finished_at),
    }
    result = StepResult(
        step=step.id,
        state=StepState.FAILED,
        error=told,
        config=tried.used if step.has_expressions else None,
        attempt=work.attempt,
        attempts=[*work.attempts, history],
        started_at=tried.started_at,
        finished_at=finished_at,
        given=tried.given,
        used=tried.used,
        suspect=work.suspect,
    )
    if isinstance(error, Cancelled) and _told(step, work):
        attempts = [*work.attempts, {**history, "outcome": "cancelled"}]
        return replace(result, state=StepState.CANCELLED, attempts=attempts)
    # Attempts lost with their worker are no attempts of the policy.
    tries = work.attempt - retried_by_hand(work.attempts) - lost_attempts(work.attempts)
    if retry.wanted(step.retry, error=known, attempt=tries):
        delay = retry.wait_seconds(step.retry, error=known, attempt=tries)
        return replace(result, state=StepState.RETRYING, delay_seconds=delay, finished_at=None)
    if work.item >= 0:
        return result  # what an item's failure means, the step says when all have ended
    if step.definition.on_error == "continue":
        return replace(result, output={"error": told})
    if step.definition.goto is not None:
        return result
    return replace(result, dead_reason="compensation" if step.undoes is not None else tried.reason)


def moment(at: datetime) -> str:
    """A time as the API writes it: ISO 8601 in UTC, with Z."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def retried_by_hand(attempts: list[Any]) -> int:
    """The number of the attempt after which somebody last retried the step: its policy begins anew there."""
    return max((tried["number"] for tried in attempts if "retried_at" in tried), default=0)


def lost_attempts(attempts: list[Any]) -> int:
    """How many attempts since the last retry by hand were lost with their worker."""
    since = retried_by_hand(attempts)
    return sum(1 for tried in attempts if tried["outcome"] == "lost" and tried["number"] > since)


def idempotency_key(run: RunFacts, *, step: str, item: int) -> str:
    """The same for every attempt of this step, item and generation; HMAC-SHA256 under the installation's key."""
    told = f"{run.id}|{step}|{item}|{run.generation}".encode()
    return (
        base64.urlsafe_b64encode(hmac.digest(settings.SECRET_KEY.encode(), told, hashlib.sha256)).decode().rstrip("=")
    )


def _perform(step: PlannedStep, work: Work, *, used: Json, given: Json, scope: dict[str, Json]) -> Json | Park | Spawn:
    context = Context(
        input=given,
        names=scope,
        run_id=str(work.run.id),
        step=step.id,
        attempt=work.attempt,
        idempotency_key=idempotency_key(work.run, step=step.id, item=work.item),
        now=work.clock.now(),
        timeout_seconds=step.timeout_seconds,
        item=work.item,
        once=effects.recorder(work.run.id, step=step.id, item=work.item),
        cancelled=lambda: _told(step, work),
    )
    answer = step.action.perform(fitted(step, used), context)
    if isinstance(answer, Park) and answer.wake_at is None and answer.signal is None:
        raise Permanent(f"action {step.action.name!r} parks for neither a moment nor a signal; give one", kind="action")
    return answer


def _child(asked: Spawn) -> Child:
    return Child(id=uuid7(), asked=replace(asked, input=payload.clean(asked.input)))


def _output(answer: Json | Park | Spawn, child: Child | None) -> Json:
    """What the step's row says: the child's run already while it waits for it."""
    if child is not None:
        return {"run": str(child.id)}
    if isinstance(answer, Spawn):
        return None
    return answer.output if isinstance(answer, Park) else answer


def _told(step: PlannedStep, work: Work) -> bool:
    """Whether the run's work was stopped. What follows the work is not cut short by that."""
    return not step.handler and lease.stopped((work.run.id, work.item, step.id, work.attempt))


def fitted(step: PlannedStep, used: Json) -> Config:
    """The rendered config as the action's own class. Raises Permanent where it does not fit."""
    try:
        return step.action.config_class.model_validate(used)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc']) or 'with'}: {fault['msg']}"
            for fault in error.errors(include_url=False, include_input=False)
        )
        raise Permanent(
            f"step {step.id!r}: the config does not fit action {step.action.name!r}: {faults}", kind="config"
        ) from None


def _blocked(step: PlannedStep, work: Work) -> StepResult:
    """The step waits for the code that has its action, and this is no attempt; runs.recovery looks again."""
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


def _cleaned(told: dict[str, Json]) -> dict[str, Json]:
    """An error that PostgreSQL can hold; its details are dropped where they are not JSON."""
    try:
        cleaned = payload.clean(told)
    except ActionError:
        cleaned = payload.clean({key: str(told[key]) for key in ("kind", "message")})
    return cleaned if isinstance(cleaned, dict) else {}
