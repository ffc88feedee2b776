"""The end of a step's wait: by its time, or by its signal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from actions import payload as payloads
from actions.base import ActionError, Json, Woken
from runs.domain.candidates import Candidate
from runs.domain.outcomes import HeldWait, Outcome, RunFacts, StepResult
from runs.domain.states import StepState
from runs.engine import failure
from runs.engine.config import accepted
from runs.engine.failure import Tried
from runs.engine.work import Clock, Work
from runs.planning import plan as plans
from runs.planning.plan import Plan
from runs.queries import signals
from runs.queries.database import Row, run
from runs.queries.values import loads


@dataclass(frozen=True)
class Wait:
    """A waiting step, with what the end of its wait needs. `at` is the database's time when it was read."""

    run: RunFacts
    version_id: UUID
    item: int
    step: str
    attempt: int
    attempts: Sequence[Any]
    output: Json
    config: Json
    given: Json
    since: datetime
    signal: str | None
    at: datetime


@dataclass(frozen=True)
class Came:
    """A signal that ends a wait: its payload, and when it was sent."""

    payload: Json
    at: datetime


def read(row: Row) -> Wait:
    """Make a Wait of a row with the columns runs.queries.waits.WAIT_COLUMNS."""
    run_id, item, step, attempt, attempts, output, config, edited, since, signal = row[:10]
    version_id, given, started_at, generation, at = row[10:]
    facts = RunFacts(id=run_id, input=loads(given), began=started_at.timestamp(), generation=generation)
    return Wait(
        run=facts,
        version_id=version_id,
        item=item,
        step=step,
        attempt=attempt,
        attempts=loads(attempts) or [],
        output=loads(output),
        config=loads(config),
        given=loads(edited),
        since=since,
        signal=signal,
        at=at,
    )


def outcome_of(wait: Wait, came: Came | None = None) -> Outcome:
    """Return the outcome of a wait that ends by the signal `came`, or, with None, because its time has come.

    The action's `woken` turns that into an output or a failure. A failure is treated like that of any attempt: retry
    policy, `on_error`, dead letter.
    """
    step = plans.load(wait.version_id).steps[wait.step]
    used = step.template if wait.config is None else wait.config
    woken = Woken(
        step=wait.step,
        at=wait.at if came is None else came.at,
        output=wait.output,
        by_signal=came is not None,
        payload=None if came is None else came.payload,
    )
    try:
        output = payloads.clean(step.action.woken(accepted(step, used), woken))
    except Exception as error:  # the boundary, as in runs.engine.attempt: what the action raises fails the step
        result = _failed(wait, error, used=used, timed_out=came is None)
    else:
        result = StepResult(
            step=wait.step,
            state=StepState.SUCCEEDED,
            output=output,
            attempt=wait.attempt,
            attempts=wait.attempts,
        )
    fence = HeldWait(signal=None if came is None else wait.signal)
    return Outcome(run=wait.run, item=wait.item, fence=fence, results=(result,))


def lock_keys(outcomes: Sequence[Outcome]) -> None:
    """Lock the signal keys for which steps are about to wait, so that no signal by key is sent in between.

    Called before any run is locked: that is the order of locks.
    """
    wanted = [o.last for o in outcomes if o.last.state is StepState.WAITING and o.last.signal_key is not None]
    if wanted:
        run(
            signals.LOCK_KEYS,
            names=[result.signal for result in wanted],
            keys=[result.signal_key for result in wanted],
        )


def met(parked: Sequence[Outcome], *, plan: Plan) -> list[Outcome]:
    """Return the outcomes of those waits whose signal had been sent before and is kept; the signals are then used up.

    The waits were just recorded, and their runs are still locked.
    """
    waiting = {
        Candidate(*o.key, o.last.step): o
        for o in parked
        if o.last.state is StepState.WAITING and o.last.signal is not None
    }
    if not waiting:
        return []
    kept = _take(signals.MEET, list(waiting.values()))
    keyed = [o for key, o in waiting.items() if key not in kept and o.last.signal_key is not None]
    if keyed:
        kept |= _take(signals.MEET_BY_KEY, keyed, keys=[o.last.signal_key for o in keyed])
    return [outcome_of(_of(waiting[key], plan=plan, at=came.at), came) for key, came in kept.items()]


def _take(statement: Any, waiting: Sequence[Outcome], **more: object) -> dict[Candidate, Came]:
    rows = run(
        statement,
        runs=[o.run.id for o in waiting],
        items=[o.item for o in waiting],
        steps=[o.last.step for o in waiting],
        names=[o.last.signal for o in waiting],
        **more,
    )
    return {Candidate(run_id, item, step): Came(loads(payload), at) for run_id, item, step, payload, at in rows}


def _of(outcome: Outcome, *, plan: Plan, at: datetime) -> Wait:
    last = outcome.last
    return Wait(
        run=outcome.run,
        version_id=plan.version_id,
        item=outcome.item,
        step=last.step,
        attempt=last.attempt,
        attempts=last.attempts,
        output=last.output,
        config=last.config,
        given=None,
        since=last.started_at or at,
        signal=last.signal,
        at=at,
    )


def _failed(wait: Wait, error: Exception, *, used: Json, timed_out: bool) -> StepResult:
    work = Work(
        run=wait.run,
        item=wait.item,
        steps={},
        clock=Clock(at=wait.at),
        attempt=wait.attempt,
        attempts=wait.attempts,
    )
    kind = error.kind if isinstance(error, ActionError) else "error"
    outcome, reason = ("timed_out", "timed_out") if timed_out else ("failed", "failed")
    if kind == "rejected":
        outcome = reason = kind
    step = plans.load(wait.version_id).steps[wait.step]
    return failure.failed(step, work, error, Tried(wait.since, wait.given, used, outcome, reason))
