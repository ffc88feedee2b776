"""The writer of state: pick, claim and record, each over a set, each answering what it won. Starts: inserting.py."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import orjson
from django.db import DatabaseError, transaction

from runs.domain.outcomes import (
    HeldChildren,
    HeldClaim,
    HeldTicket,
    HeldWait,
    LoadedSteps,
    Outcome,
    Recorded,
    StepResult,
)
from runs.domain.releases import Release
from runs.domain.states import RUN_ENDED, RunState
from runs.engine import columns, endings, failure, for_each, sub_workflows, waits
from runs.engine import marks as engine_marks
from runs.engine.release import finished, release, release_along, retries
from runs.planning.plan import Plan
from runs.queries import database, dead_letters, records
from runs.queries import marks as mark_queries
from runs.queries.database import Statement, copy, run

log = logging.getLogger(__name__)

# From so many on, rows are copied: fewer cost less in one statement.
_COPIED_ROWS = 30


def record(outcomes: Sequence[Outcome], *, plan: Plan, carried: str | None = None) -> Recorded:
    """Write what was done, and release what follows, in one transaction. A lost fence is a no-op.

    `carried` is the head that this delivery's chain goes on to. A set that fails is split and recorded one by one:
    the single whose values the database refuses is recorded as failed, reason `unrecordable`; one that a lock keeps
    out is answered as `left`. Raises OperationalError where the database is away.
    """
    if not outcomes:
        return Recorded()
    try:
        if _fits_one_statement(outcomes, plan=plan):
            return _record_in_one_statement(outcomes, plan=plan, carried=carried)
        with transaction.atomic():
            return _record(outcomes, plan=plan, carried=carried)
    except (DatabaseError, orjson.JSONEncodeError) as error:
        if len(outcomes) == 1:
            return _record_refused(outcomes[0], error, plan=plan, carried=carried)
        log.warning("set_split", extra={"count": len(outcomes), "error": str(error)})
    found = Recorded()
    for outcome in outcomes:
        found = found.joined(record([outcome], plan=plan, carried=carried))
    return found


def record_within(outcome: Outcome, *, plan: Plan, carried: str | None) -> Recorded:
    """Record one outcome in the caller's transaction, which also holds its effect. Nothing is mended here.

    Raises django.db.DatabaseError and orjson.JSONEncodeError; then the caller's transaction must not be committed.
    """
    return _record([outcome], plan=plan, carried=carried)


@dataclass(frozen=True)
class _Fenced:
    """The outcomes that passed their fence, those of them whose run is live, and what those runs are coming to.

    `endings` has the runs whose work is over, `with_parent` those that have a parent.
    """

    won: list[Outcome]
    live: list[Outcome]
    endings: dict[UUID, RunState]
    with_parent: frozenset[UUID]

    def ending(self, outcome: Outcome) -> RunState | None:
        """What the outcome's run is coming to; None while its work goes on."""
        return self.endings.get(outcome.run.id) if self.endings else None


def _record(outcomes: Sequence[Outcome], *, plan: Plan, carried: str | None) -> Recorded:
    recorded = _write(outcomes, plan=plan, carried=carried)
    # The parents' rows are the last locks of the transaction, taken at once and in order.
    return (
        replace(recorded, wakes=recorded.wakes + sub_workflows.wake_parents(recorded.below))
        if recorded.below
        else recorded
    )


def _fits_one_statement(outcomes: Sequence[Outcome], *, plan: Plan) -> bool:
    """Whether one statement can record all of it: nothing but successes of runs that go one path, and few of them."""
    if not plan.linear or sum(len(outcome.results) for outcome in outcomes) >= _COPIED_ROWS:
        return False
    return all(o.plain and o.item < 0 and not o.run.below and isinstance(o.fence, HeldTicket) for o in outcomes)


def _record_in_one_statement(outcomes: Sequence[Outcome], *, plan: Plan, carried: str | None) -> Recorded:
    ordered = sorted(outcomes, key=lambda outcome: outcome.run.id.int)  # Python compares UUIDs slowly
    releases = _release_linear(ordered, plan=plan, carried=carried)
    new = [(outcome.run.id, -1, result) for outcome in ordered for result in outcome.results]
    new += [(found.run.id, -1, result) for found in releases for result in found.skipped]
    fenced = _fence(ordered, releases, new=new)
    winners = {outcome.run.id for outcome in fenced.live}
    return _recorded(fenced, [f for f in releases if f.run.id in winners], carried=carried, letters=[])


def _write(outcomes: Sequence[Outcome], *, plan: Plan, carried: str | None) -> Recorded:
    of_items = [outcome for outcome in outcomes if outcome.item >= 0]
    if of_items:
        rest = [outcome for outcome in outcomes if outcome.item < 0]
        written = _write_items(of_items, plan=plan)
        return written.joined(_write(rest, plan=plan, carried=carried)) if rest else written
    waits.lock_keys(outcomes)
    ordered = sorted(outcomes, key=lambda outcome: outcome.run.id.int)
    if plan.linear:
        releases = _release_linear(ordered, plan=plan, carried=carried)
        fenced = _fence(ordered, releases)
        if len(fenced.live) < len(ordered):
            winners = {outcome.run.id for outcome in fenced.live}
            releases = [found for found in releases if found.run.id in winners]
        _insert_steps(fenced, releases)
    else:
        fenced = _fence(ordered, None)
        _insert_steps(fenced, [])
        endings.note(plan, fenced.live, endings=fenced.endings)
        releases = _release_graph(fenced.live, plan=plan, carried=carried, coming=fenced.endings)
    telling = [o for o in fenced.live if not (o.plain or endings.after_its_work(plan, o, ending=fenced.ending(o)))]
    letters = _dead_letters(telling)
    spawned = sub_workflows.spawn(telling)
    begun = for_each.begin(telling, plan=plan)
    recorded = _recorded(fenced, releases, carried=carried, letters=letters)
    recorded = replace(recorded, released=recorded.released or spawned, wakes=begun)
    # Winners only: a zombie's park must not use up a signal, nor one of a run that is stopped. The locks are held.
    met = waits.met(telling, plan=plan)
    return recorded.joined(_write(met, plan=plan, carried=carried)) if met else recorded


def _write_items(outcomes: Sequence[Outcome], *, plan: Plan) -> Recorded:
    """Items of for_each steps: fence and rows as ever; then they are counted, and only their retries are released."""
    waits.lock_keys(outcomes)
    fenced = _fence(sorted(outcomes, key=lambda outcome: outcome.key), None)
    _insert_steps(fenced, [])
    stopped = [o for o in fenced.live if endings.after_its_work(plan, o, ending=fenced.ending(o))]
    going = [o for o in fenced.live if not endings.after_its_work(plan, o, ending=fenced.ending(o))]
    releases = [
        Release(
            run=o.run,
            tickets=tuple(replace(t, item=o.item) for t in retries(o)),
            state=_woken(o, ending=fenced.ending(o)),
        )
        for o in going
    ]
    if any(found.tickets for found in releases):
        run(records.RELEASE, **columns.releases([found for found in releases if found.tickets]))
    spawned = sub_workflows.spawn(going)
    wakes = for_each.count_ended(going)
    ends: list[Release] = []
    if stopped:
        endings.note(plan, stopped, endings=fenced.endings)
        # One for each run: what follows its work begins once.
        last = {outcome.run.id: outcome for outcome in stopped}
        ends = _release_graph(list(last.values()), plan=plan, carried=None, coming=fenced.endings)
    recorded = _recorded(replace(fenced, live=[]), ends, carried=None, letters=[])
    released = recorded.released or spawned or any(found.tickets for found in releases)
    recorded = replace(recorded, released=released, wakes=wakes)
    met = waits.met(going, plan=plan)
    return recorded.joined(_write_items(met, plan=plan)) if met else recorded


def _woken(outcome: Outcome, *, ending: RunState | None) -> RunState | None:
    """A run that waited goes on when an item of it does; one that does what follows its work may be compensating."""
    return RunState.RUNNING if isinstance(outcome.fence, HeldWait) and ending is None else None


def _fence(
    outcomes: Sequence[Outcome],
    releases: Sequence[Release] | None,
    *,
    new: Sequence[tuple[UUID, int, StepResult]] | None = None,
) -> _Fenced:
    """Let in the outcomes whose fence still holds; with `releases`, release in the same statement.

    `new`, of outcomes under tickets only: rows that are written with it.
    """
    params: dict[str, Any] = {"runs": [outcome.run.id for outcome in outcomes]}
    if isinstance(outcomes[0].fence, HeldTicket):
        params["items"] = [outcome.item for outcome in outcomes]
        params["tickets"] = [o.fence.id for o in outcomes if isinstance(o.fence, HeldTicket)]
    else:
        params |= columns.outcomes(outcomes)
    statement = _statement(outcomes[0], releases) if new is None else _one_statement(outcomes, releases or ())
    if new is not None:
        params |= columns.steps(new)
    if releases is not None:
        params |= columns.following(releases, last=statement in (records.LINEAR_LAST, records.LINEAR_OVER))
    found = run(statement, **params)
    alive = {(row[0], row[1]): row[2] for row in found}
    return _Fenced(
        won=[outcome for outcome in outcomes if outcome.key in alive],
        live=[outcome for outcome in outcomes if alive.get(outcome.key)],
        endings={row[0]: RunState(row[3]) for row in found if row[3]},
        with_parent=frozenset(row[0] for row in found if row[4]),
    )


def _one_statement(outcomes: Sequence[Outcome], releases: Sequence[Release]) -> Statement:
    again = any(isinstance(o.fence, HeldTicket) and o.fence.retried for o in outcomes)
    return records.LINEAR_ONE_STATEMENT if again or any(found.tickets for found in releases) else records.LINEAR_LAST


def _statement(outcome: Outcome, releases: Sequence[Release] | None) -> Statement:
    path = releases is not None
    if isinstance(outcome.fence, HeldTicket) and path:
        return records.LINEAR_TICKET if any(found.tickets for found in releases or ()) else records.LINEAR_OVER
    if isinstance(outcome.fence, HeldTicket):
        return records.FENCE_TICKET
    if isinstance(outcome.fence, HeldClaim):
        return records.LINEAR_CLAIM if path else records.FENCE_CLAIM
    if isinstance(outcome.fence, HeldChildren):
        return records.LINEAR_CHILDREN if path else records.FENCE_CHILDREN
    return records.LINEAR_WAIT if path else records.FENCE_WAIT


def _insert_steps(fenced: _Fenced, releases: Iterable[Release]) -> None:
    """The rows of inline steps of the winners, and of what they skip.

    Many that cannot be there yet are copied, which costs the server half. Should one be there all the same, the set
    is split and done one by one.
    """
    new: list[tuple[UUID, int, StepResult]] = []
    copied: list[tuple[UUID, int, StepResult]] = []
    for outcome in fenced.won:
        if isinstance(outcome.fence, HeldTicket):
            plain = outcome.plain and not outcome.fence.retried
            (copied if plain else new).extend((outcome.run.id, outcome.item, result) for result in outcome.results)
    if len(copied) < _COPIED_ROWS:
        new += copied
    else:
        copy(records.COPY_STEPS, columns.copied_steps(copied))
    new += [(found.run.id, -1, result) for found in releases for result in found.skipped]
    if new:
        run(records.INSERT_STEPS, **columns.steps(new))


def _dead_letters(live: Sequence[Outcome]) -> list[tuple[UUID, StepResult]]:
    letters = [(o.run.id, o.item, r) for o in live for r in o.results if r.dead_reason is not None]
    if letters:
        run(dead_letters.INSERT_DEAD_LETTERS, **columns.dead_letters(letters))
    return [(run_id, result) for run_id, _, result in letters]


def _recorded(
    fenced: _Fenced,
    releases: Sequence[Release],
    *,
    carried: str | None,
    letters: list[tuple[UUID, StepResult]],
) -> Recorded:
    handed_on = []
    if carried is not None:
        by_run = {found.run.id: found for found in releases}
        handed_on = [o.key for o in fenced.live if any(t.head == carried for t in by_run[o.run.id].tickets)]
    return Recorded(
        won=frozenset(outcome.key for outcome in fenced.won),
        handed_on=tuple(handed_on),
        released=any(ticket.knock == 0 for found in releases for ticket in found.tickets),
        ended=tuple((found.run.id, found.state.value) for found in releases if found.state in RUN_ENDED),
        below=tuple(f.run.id for f in releases if f.state in RUN_ENDED and f.run.id in fenced.with_parent),
        failed=tuple(letters),
    )


def _record_refused(outcome: Outcome, error: Exception, *, plan: Plan, carried: str | None) -> Recorded:
    """What becomes of a single outcome that could not be recorded; see runs.engine.refused."""
    if database.by_lock(error):
        log.warning("record_locked_out", extra={"run_id": str(outcome.run.id), "error": str(error)})
        return Recorded(left=(outcome,))
    if database.by_server(error):
        raise error
    log.error("step_unrecordable", extra={"run_id": str(outcome.run.id), "error": str(error)})
    with transaction.atomic():
        return _record([failure.unrecordable(outcome, error, plan=plan)], plan=plan, carried=carried)


def _release_linear(outcomes: Sequence[Outcome], *, plan: Plan, carried: str | None) -> list[Release]:
    """What follows in a plan without forks, where each outcome knows all that there is to know."""
    return _with_outputs(plan, [release_along(plan, o, carried=carried) for o in outcomes])


def _release_graph(
    live: Sequence[Outcome], *, plan: Plan, carried: str | None, coming: Mapping[UUID, RunState]
) -> list[Release]:
    """Look at each run again, now that its lock is held, and release from that one snapshot.

    `coming` is what runs are on their way to whose work is over.
    """
    if not live:
        return []
    marks = engine_marks.marks(plan, live, coming=coming)
    releases = [
        release(plan, outcome, marks[outcome.run.id], carried=carried, ending=coming.get(outcome.run.id))
        for outcome in live
    ]
    releases = endings.followed(plan, _with_outputs(plan, releases), marks=marks)
    skipped = [(found.run.id, -1, result) for found in releases for result in found.skipped]
    if skipped:
        run(records.INSERT_STEPS, **columns.steps(skipped))
    if any(found.tickets or found.state for found in releases):
        run(records.RELEASE, **columns.releases(releases))
    return releases


def _with_outputs(plan: Plan, releases: Sequence[Release]) -> list[Release]:
    """The releases, those that end a run with its output, for which the steps that are not in hand are read."""
    wanting = [found for found in releases if found.missing]
    fetched: dict[UUID, LoadedSteps] = {}
    if wanting:
        reads = sorted(frozenset[str]().union(*(found.missing for found in wanting)))
        answer = run(mark_queries.OUTPUTS, runs=[found.run.id for found in wanting], reads=reads)
        fetched = {run_id: orjson.loads(steps) for run_id, steps in answer}
    return [finished(plan, found, fetched=fetched.get(found.run.id, {})) for found in releases]
