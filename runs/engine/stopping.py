"""Stop runs towards an outcome (a cancel, a run's timeout), or end them at once (a terminate)."""

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
from runs.engine import columns, endings, marks, sub_workflows
from runs.planning import plan as plans
from runs.planning.plan import Plan
from runs.queries import records, stops
from runs.queries.database import Row, run

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stopped:
    """What a stop won. `ended` are those that have come to their end at once, with their state."""

    won: frozenset[UUID] = frozenset()
    ended: tuple[tuple[UUID, str], ...] = ()


def cancel(run_ids: Sequence[UUID]) -> Stopped:
    """Stop runs towards `cancelled`. Those that are queued end at once. Call it in a transaction."""
    return _stop(run_ids, outcome=RunState.CANCELLED, overdue=False)


def time_out(run_ids: Sequence[UUID]) -> Stopped:
    """Stop those of the runs that are past their deadline towards `failed`."""
    with transaction.atomic():
        return _stop(run_ids, outcome=RunState.FAILED, overdue=True)


def terminate(run_ids: Sequence[UUID]) -> Stopped:
    """End runs at once, whatever they are at; what was to follow their work is given up. Call it in a transaction.

    A run whose work had failed ends as failed, any other as cancelled. What runs is told, and left to its worker.
    """
    locked = run(stops.LOCK_LIVE, runs=list(run_ids))
    queued = [run_id for run_id, state, _ in locked if state == RunState.QUEUED]
    live = {run_id: ending for run_id, state, ending in locked if state != RunState.QUEUED}
    if queued:
        run(stops.CANCEL_QUEUED, runs=queued)
    return _stopped(locked, queued=queued, releases=_terminate_live(live) if live else [])


def _terminate_live(live: Mapping[UUID, str | None]) -> list[Release]:
    """Stop runs, given with what their work came to, and end them with what was left to be undone."""
    run(stops.STOP, runs=list(live))
    left = endings.undoable([run_id for run_id, ending in live.items() if ending == RunState.FAILED])
    releases = [_terminated(run_id, ending=ending, left=left.get(run_id, ())) for run_id, ending in live.items()]
    run(records.RELEASE, **columns.releases(releases))
    return releases


def _stopped(locked: Sequence[Row], *, queued: Sequence[UUID], releases: Sequence[Release]) -> Stopped:
    """What a stop won of the locked runs; wakes the parents of those that have ended."""
    ended = (
        *((run_id, RunState.CANCELLED.value) for run_id in queued),
        *((one.run.id, one.state.value) for one in releases if one.state in RUN_ENDED),
    )
    # The last locks: the rows of parents that wait for these.
    sub_workflows.wake_parents([run_id for run_id, _ in ended])
    return Stopped(won=frozenset(row[0] for row in locked), ended=ended)


def _terminated(run_id: UUID, *, ending: str | None, left: Sequence[str]) -> Release:
    """The end of a run that was terminated; `left` are the steps that were to be undone."""
    message = "terminated by hand: whatever was to follow is left out"
    if left:
        message += f"; the compensation of {', '.join(left)} was not done: put that right by hand"
    told: dict[str, Json] = {"terminated": {"message": message, "not_undone": list[Json](left)}}
    failed = ending == RunState.FAILED
    if not failed:  # else the error stays the one that the run failed with
        told |= {"kind": "terminated", "message": message}
    state = RunState.FAILED if failed else RunState.CANCELLED
    return Release(run=RunFacts(id=run_id, input=None, began=0.0), state=state, error=told)


def _stop(run_ids: Sequence[UUID], *, outcome: RunState, overdue: bool) -> Stopped:
    """The runs that have neither ended nor begun to end: nothing more of their work begins.

    What runs is left to its worker, which is told. Where something follows the work, it begins when that has
    answered; else the run ends now.
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
    """Stop live runs of one version, and release what follows their work."""
    run(stops.STOP, runs=list(run_ids))
    plan = _plan(version_id)
    error = _timeout_error(plan) if outcome is RunState.FAILED else None
    found = [Release(run=RunFacts(id=run_id, input=None, began=0.0), state=outcome, error=error) for run_id in run_ids]
    if plan is not None and endings.follows(plan, outcome):
        found = endings.followed(plan, found, marks=marks.whole(run_ids))
    run(records.RELEASE, **columns.releases(found))
    return found


def _plan(version_id: UUID) -> Plan | None:
    """None for a version that this code cannot read: its runs can still be stopped, and nothing follows."""
    try:
        return plans.load(version_id)
    except ValidationError as error:
        log.warning("version_unusable", extra={"version_id": str(version_id), "error": str(error)[:500]})
        return None


def _timeout_error(plan: Plan | None) -> dict[str, Json]:
    given = f" of {plan.definition.timeout:g} s" if plan is not None and plan.definition.timeout else ""
    message = f"the run did not end within its timeout{given}; a replay makes a new run of it"
    return {"kind": "timeout", "reason": "timed_out", "message": message}
