"""The sweep: recover work for which no message is under way.

It ends waits that are due, takes back steps of lost processes, stops runs whose deadline has passed, and sends messages
for tickets that are due.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from actions.base import Permanent, Retryable
from runs.control import stops as stop_verbs
from runs.dispatch import dispatcher, unsent
from runs.dispatch.compiler import decode
from runs.domain.actor import Actor
from runs.domain.candidates import Candidate
from runs.domain.outcomes import Death, HeldClaim, Outcome, Recorded, RunFacts, StepResult
from runs.domain.releases import REPEAT_SECONDS
from runs.domain.states import StepState
from runs.engine import failure, for_each, lease, record, report, stopping, sub_workflows, tickets, waits
from runs.engine import wake as waking
from runs.engine.attempt import BLOCKED_SECONDS
from runs.engine.work import Clock, Work
from runs.maintenance import alerts
from runs.planning import plan as plans
from runs.planning.steps import PlannedStep
from runs.queries import leases, stops, values
from runs.queries import sweep as sweep_queries
from runs.queries import waits as wait_queries
from runs.queries.database import Row, by_server, run
from runs.queries.values import loads

log = logging.getLogger(__name__)

BATCH = 200
# A step whose worker died this often while it was performed alone is poison: it is not retried automatically.
MAX_LOST = 3
# How far back, and how many, sent tickets are recalled after a child's death, which is noticed within a moment.
_RECALLED_SECONDS, _MOST_RECALLED = 3.0, 5000


@dataclass(frozen=True)
class Swept:
    """How many waits were ended, lost steps rescued and messages sent; and when, in seconds, the next row is due."""

    woken: int = 0
    rescued: int = 0
    sent: int = 0
    next_seconds: float | None = None


def _nobody() -> int:
    return 0


def sweep(send: Callable[[], int] = dispatcher.dispatch, alone: Callable[[], int] = _nobody) -> Swept:
    """Do one bounded round. Safe in several processes at once; on an idle system it costs one statement.

    `send` handles tickets that are due: it sends messages or, without a broker (runs.worker.polling), performs them.
    `alone` has suspects performed; without it they are left to a process that can do that.
    """
    due = _Due(*run(sweep_queries.ANYTHING_DUE, host=lease.host())[0])
    lost = _expire(due.pids or ()) or due.lost
    _if_due(due.sub_runs_to_cancel, _cancel_sub_runs)
    woken = _if_due(due.waits, wake) + _if_due(due.waits, unblock)
    rescued = _if_due(lost, rescue)
    late = _if_due(due.overdue, time_out)
    alerted = _if_due(due.alerts, alerts.send)
    sent = send() if due.knocks or any((woken, rescued, late, alerted)) else 0
    sent += _if_due(due.suspects or rescued > 0, alone)
    is_full = woken >= BATCH or BATCH in (rescued, late)  # then there is more
    return Swept(woken=woken, rescued=rescued, sent=sent, next_seconds=0.0 if is_full else due.next_seconds)


class _Due(NamedTuple):
    """The row of ANYTHING_DUE: which parts of the sweep have work, and the pids on this host that have a lease."""

    knocks: bool
    waits: bool
    lost: bool
    overdue: bool
    next_seconds: float | None
    pids: Sequence[int] | None
    alerts: bool
    sub_runs_to_cancel: bool
    suspects: bool


def _expire(pids: Sequence[int]) -> bool:
    """End the leases of those of these processes that are gone; return whether a lease was ended."""
    gone = lease.dead(pids)
    if not gone:
        return False
    ended = run(leases.EXPIRE, host=lease.host(), pids=gone)
    _recall(gone)
    return bool(ended)


def _cancel_sub_runs() -> int:
    return stop_verbs.cancel_sub_runs(actor=Actor(reason=sub_workflows.PARENT_STOPPED))


def wake() -> int:
    """End the waits whose time has come or whose sub-workflows have ended, release what follows; return how many."""
    found = run(wait_queries.DUE_WAITS, limit=BATCH)
    due = ((row[10], row[2], row) for row in found)
    woken = _record_grouped(due, outcome=lambda row: waits.outcome_of(waits.read(row)))
    return woken + waking.wake([*sub_workflows.due(limit=BATCH), *for_each.due(limit=BATCH)])


def unblock() -> int:
    """Let steps go on whose action was unknown to this code when they came, and is known now; return how many."""
    known: list[tuple[UUID, int, str]] = []
    still: list[tuple[UUID, int, str]] = []
    for run_id, item, step, version_id in run(wait_queries.DUE_BLOCKED, limit=BATCH):
        there = _has_action(version_id, step)
        (known if there else still).append((run_id, item, step))
    if still:
        log.error("unknown_action", extra={"count": len(still), "step": still[0][2], "run_id": str(still[0][0])})
        tickets.keep_blocked(still, seconds=BLOCKED_SECONDS)
    return len(tickets.unblock(known))


def time_out() -> int:
    """Stop runs whose deadline has passed, and return how many this call stopped."""
    stopped = stopping.time_out([row[0] for row in run(stops.OVERDUE, limit=BATCH)])
    report.report(Recorded(ended=stopped.ended))
    return len(stopped.won)


def rescue() -> int:
    """Take back running steps whose deadline has passed or whose process is gone, and delete dead processes' rows.

    Returns how many steps were taken back.
    """
    found = run(sweep_queries.LOST, limit=BATCH)
    count = _record_grouped(((row[9], row[2], row) for row in found), outcome=_rescued)
    run(leases.FORGET_PROCESSES)
    return count


def children_died(deaths: Sequence[Death], *, ended: frozenset[int] = frozenset()) -> None:
    """End the leases of children that died, and mark the tickets of their deliveries as suspect.

    Those of children that their worker has `ended` for a run that was stopped are due at once, and no suspects.
    """
    log.warning("child_died", extra={"pids": [death.pid for death in deaths]})
    pids = [death.pid for death in deaths if death.pid is not None]
    run(leases.EXPIRE, host=lease.host(), pids=pids)
    _recall(pids)
    tickets.hand_back([candidate for death in deaths if death.pid in ended for candidate in _in_hand(death)])
    in_hand = [candidate for death in deaths if death.pid not in ended for candidate in _in_hand(death)]
    if in_hand:
        run(sweep_queries.SUSPECT, **values.step_keys(in_hand))


def _in_hand(death: Death) -> list[Candidate]:
    """Return the candidates of the child's message; none if the message makes no sense."""
    try:
        return decode(death.runs, head=death.head)
    except ValueError as error:
        log.warning("knock_ignored", extra={"head": death.head, "error": str(error)[:500]})
        return []


def _recall(pids: Sequence[int]) -> None:
    """Make tickets due again that one of these dead processes had picked and not sent.

    Which these are is not known, so all tickets that any process sent for the first time a moment ago are due again.
    """
    if unsent.cut_short(pids):
        run(sweep_queries.RECALL, repeat=REPEAT_SECONDS, seconds=_RECALLED_SECONDS, limit=_MOST_RECALLED)
        unsent.forget(pids)


def _if_due(due: bool, part: Callable[[], int]) -> int:
    return _apart(part) if due else 0


def _apart(part: Callable[[], int]) -> int:
    """Do one part of a round; log its failure and return 0, so that a fault in it never stops the other parts.

    Raises what says that the database is away or read-only, because all parts need to write.
    """
    try:
        return part()
    except Exception as error:
        if by_server(error):
            raise
        log.exception("sweep_part_failed")
        return 0


def _has_action(version_id: UUID, step: str) -> bool:
    try:
        return plans.load(version_id).steps[step].missing_action is None
    except Exception:
        # A version that this code cannot read must not stop the sweep for all others.
        log.exception("version_unusable", extra={"version_id": str(version_id), "step": step})
        return False


def _record_grouped(found: Iterable[tuple[UUID, str, Row]], *, outcome: Callable[[Row], Outcome]) -> int:
    groups: dict[tuple[UUID, str], list[Row]] = {}
    for version_id, step, row in found:
        groups.setdefault((version_id, step), []).append(row)
    won = 0
    for (version_id, step), group in groups.items():
        try:
            outcomes, plan = [outcome(row) for row in group], plans.load(version_id)
            recorded = record.record(outcomes, plan=plan, is_late=waking.late_from_now())
        except Exception:
            # A version that this code cannot read must not stop the sweep for all others.
            log.exception("sweep_group_failed", extra={"version_id": str(version_id), "step": step})
            continue
        report.report(recorded)
        won += len(recorded.won)
    return won


def _rescued(row: Row) -> Outcome:
    (
        run_id,
        item,
        step_id,
        attempt,
        attempts,
        process,
        began,
        now,
        late,
        version_id,
        given,
        started_at,
        gen,
    ) = row
    facts = _facts(run_id, given, started_at, gen)
    step = plans.load(version_id).steps[step_id]
    work = Work(
        run=facts,
        item=item,
        steps={},
        clock=Clock(at=now),
        attempt=attempt,
        attempts=loads(attempts),
        suspect=True,
    )
    verdict: Callable[[PlannedStep, Work, Any], StepResult] = _late if late else _lost
    if str(process) == leases.ENDED:
        work, verdict = work._replace(suspect=False), _released
    return Outcome(
        run=facts,
        item=item,
        fence=HeldClaim(attempt=attempt, process=process),
        results=(verdict(step, work, began),),
    )


def _late(step: PlannedStep, work: Work, began: Any) -> StepResult:
    error = Retryable(
        f"step {step.id!r} was still running at its deadline of {step.timeout_seconds:g} s", kind="timeout"
    )
    return failure.failed(step, work, error, failure.Tried(began, outcome="timed_out", reason="timed_out"))


def _lost(step: PlannedStep, work: Work, began: Any) -> StepResult:
    """Return the result of a lost attempt: the step is repeated at once, alone, up to MAX_LOST deaths.

    A lost attempt does not count as an attempt of the retry policy.
    """
    lost = failure.attempts_with("lost", work.attempts) + 1
    # An effectful step's first death may be caused by another step of its delivery, so it does not count. An inline
    # step is claimed only when it is performed alone, so each of its deaths counts.
    alone = lost if step.inline else lost - 1
    if not step.action.repeatable:
        message = f"the worker of step {step.id!r} died, and the step may not be repeated by itself; retry it by hand"
        reason = "unknown_outcome"
    else:
        message = f"step {step.id!r} lost its worker in {lost} attempts; mend the step, then retry it"
        reason = "poison"
    tried = failure.Tried(began, outcome="lost", reason=reason)
    failed = failure.failed(step, work, Permanent(message, kind="lost"), tried)
    if alone >= MAX_LOST or not step.action.repeatable:
        return failed
    return failed._replace(state=StepState.RETRYING, delay_seconds=0.0, dead_reason=None, output=None, finished_at=None)


def _released(step: PlannedStep, work: Work, began: Any) -> StepResult:
    """Return the result of an attempt that ended with its worker, for a step of another run: it is repeated at once.

    It counts neither as an attempt nor as a death, unless the step may not be repeated.
    """
    if not step.action.repeatable:
        return _lost(step, work, began)
    message = f"the worker of step {step.id!r} was ended because of another run; the step is repeated"
    tried = failure.Tried(began, outcome="released")
    failed = failure.failed(step, work, Permanent(message, kind="released"), tried)
    return failed._replace(state=StepState.RETRYING, delay_seconds=0.0, dead_reason=None, output=None, finished_at=None)


def _facts(run_id: UUID, given: Any, started_at: Any, generation: int) -> RunFacts:
    return RunFacts(id=run_id, input=loads(given), began=started_at.timestamp(), generation=generation)


INTERVAL_SECONDS = 1.0

# Added to the time until the next row is due: a round that comes too early finds nothing.
TICK_SECONDS = 0.02
