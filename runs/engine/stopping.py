"""Stop runs: a cancel or a run's timeout lets the parts that follow the work run; a terminate ends the run at once."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from pydantic import ValidationError

from actions.base import Json
from runs.domain.outcomes import RunFacts
from runs.domain.releases import Release
from runs.domain.states import RUN_ENDED, RunState
from runs.engine import columns, endings, marks, run_letters, sub_workflows
from runs.planning import plan as plans
from runs.planning.plan import Plan
from runs.queries import records, stops
from runs.queries.database import Row, run

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stopped:
    """The result of a stop: `won` are the runs that it stopped; `ended` are those that ended at once, with state."""

    won: frozenset[UUID] = frozenset()
    ended: tuple[tuple[UUID, str], ...] = ()


def cancel(run_ids: Sequence[UUID]) -> Stopped:
    """Stop runs, with `cancelled` as the outcome of their work. Queued ones end at once. Call it in a transaction."""
    return _stop(run_ids, outcome=RunState.CANCELLED, overdue=False)


def time_out(run_ids: Sequence[UUID]) -> Stopped:
    """Stop those of the runs that are past their deadline, with `failed` as the outcome of their work."""
    with transaction.atomic():
        return _stop(run_ids, outcome=RunState.FAILED, overdue=True)


def terminate(run_ids: Sequence[UUID]) -> Stopped:
    """End runs at once, without the parts that follow their work. Call it in a transaction.

    A run whose work had failed ends as failed, any other as cancelled. Running steps are not interrupted: their
    `context.cancelled()` becomes true, and their outcome is still written.
    """
    locked = run(stops.LOCK_LIVE, runs=list(run_ids))
    queued = [run_id for run_id, state, _ in locked if state == RunState.QUEUED]
    live = {run_id: ending for run_id, state, ending in locked if state != RunState.QUEUED}
    if queued:
        run(stops.CANCEL_QUEUED, runs=queued)
    return _stopped(locked, queued=queued, releases=_terminate_live(live) if live else [])


def _terminate_live(live: Mapping[UUID, str | None]) -> list[Release]:
    """Stop and end runs, given with the outcome of their work; a compensation not done is named in the run's error."""
    run(stops.STOP, runs=list(live))
    left = endings.undoable([run_id for run_id, ending in live.items() if ending == RunState.FAILED])
    releases = [_terminated(run_id, ending=ending, left=left.get(run_id, ())) for run_id, ending in live.items()]
    run(records.RELEASE, **columns.releases(releases))
    return releases


def _stopped(locked: Sequence[Row], *, queued: Sequence[UUID], releases: Sequence[Release]) -> Stopped:
    """Wake the parents of the runs that have ended, and return the stop's result."""
    ended = (
        *((run_id, RunState.CANCELLED.value) for run_id in queued),
        *((one.run.id, one.state.value) for one in releases if one.state in RUN_ENDED),
    )
    # The last locks of the transaction: the step rows of the parents that wait for these runs.
    sub_workflows.wake_parents([run_id for run_id, _ in ended])
    return Stopped(won=frozenset(row[0] for row in locked), ended=ended)


def _terminated(run_id: UUID, *, ending: str | None, left: Sequence[str]) -> Release:
    """Return the end of a terminated run; `left` are the steps whose compensation was not done."""
    message = "terminated by hand: whatever was to follow is left out"
    if left:
        message += f"; the compensation of {', '.join(left)} was not done: put that right by hand"
    error: dict[str, Json] = {"terminated": {"message": message, "not_undone": list[Json](left)}}
    failed = ending == RunState.FAILED
    if not failed:  # a failed run keeps the error that it failed with
        error |= {"kind": "terminated", "message": message}
    state = RunState.FAILED if failed else RunState.CANCELLED
    return Release(run=RunFacts(id=run_id, input=None, began=0.0), state=state, error=error)


def _stop(run_ids: Sequence[UUID], *, outcome: RunState, overdue: bool) -> Stopped:
    """Stop those of the runs whose work is not over: no further step of it begins.

    Running steps are not interrupted, but their `context.cancelled()` becomes true. If parts follow the work, they
    begin when those steps have ended; otherwise the run ends now.
    """
    locked = run(stops.LOCK_STOPPABLE, runs=list(run_ids), overdue=overdue)
    queued = [run_id for run_id, _, state in locked if state == RunState.QUEUED]
    versions: dict[UUID, list[UUID]] = {}
    for run_id, version_id, state in locked:
        if state != RunState.QUEUED:
            versions.setdefault(version_id, []).append(run_id)
    if queued:
        run(stops.CANCEL_QUEUED, runs=queued)
    releases = [one for version_id, ids in versions.items() for one in _settle(version_id, ids, outcome=outcome)]
    return _stopped(locked, queued=queued, releases=releases)


def _settle(version_id: UUID, run_ids: Sequence[UUID], *, outcome: RunState) -> list[Release]:
    """Stop live runs of one version; begin the part that follows their work, or end them."""
    run(stops.STOP, runs=list(run_ids))
    plan = _plan(version_id)
    error = _timeout_error(plan) if outcome is RunState.FAILED else None
    found = [Release(run=RunFacts(id=run_id, input=None, began=0.0), state=outcome, error=error) for run_id in run_ids]
    if plan is not None and endings.follows(plan, outcome):
        found = endings.followed(plan, found, marks=marks.whole(run_ids))
    run(records.RELEASE, **columns.releases(found))
    if outcome is RunState.FAILED:
        for run_id, letter in run_letters.of_timeouts(run_ids, error=error):
            log.error("dead_letter", extra={"run_id": str(run_id), "step": "", "reason": letter.dead_reason})
    return found


def _plan(version_id: UUID) -> Plan | None:
    """Return the version's plan; None if this code cannot read it: then its runs can be stopped, and end at once."""
    try:
        return plans.load(version_id)
    except ValidationError as error:
        log.warning("version_unusable", extra={"version_id": str(version_id), "error": str(error)[:500]})
        return None


def _timeout_error(plan: Plan | None) -> dict[str, Json]:
    given = f" of {plan.definition.timeout:g} s" if plan is not None and plan.definition.timeout else ""
    message = f"the run did not end within its timeout{given}; a replay makes a new run of it"
    return {"kind": "timeout", "reason": "timed_out", "message": message}
