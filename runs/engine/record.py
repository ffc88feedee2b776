"""The writer of state: pick, claim and record, each over a set, each answering what it won. Starts: inserting.py."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from uuid import UUID

import orjson
from django.db import DatabaseError, transaction

from runs.domain.outcomes import HeldTicket, HeldWait, Key, LoadedSteps, Outcome, Recorded, StepResult
from runs.domain.releases import Release
from runs.domain.states import RUN_ENDED, RunState
from runs.engine import columns, endings, failure, fences, for_each, sub_workflows, waits
from runs.engine import marks as engine_marks
from runs.engine import release as releasing
from runs.planning.plan import Plan
from runs.queries import database, records
from runs.queries import marks as mark_queries
from runs.queries.database import copy, run
from runs.queries.dead_letters import INSERT_DEAD_LETTERS

log = logging.getLogger(__name__)

# From so many on, rows are copied: fewer cost less in one statement.
_COPIED_ROWS = 30
# A row to insert: run, item and result.
_StepRow = tuple[UUID, int, StepResult]


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
    steps = [(outcome.run.id, -1, result) for outcome in ordered for result in outcome.results]
    fenced = fences.fence_write_and_release(ordered, releases, steps=steps + _skipped(releases))
    return _recorded(fenced, _of_live(fenced, releases), carried=carried, dead_letters=[])


def _write(outcomes: Sequence[Outcome], *, plan: Plan, carried: str | None) -> Recorded:
    """Write items and steps, each in its own way. A record's outcomes are mostly of one kind."""
    items = [outcome for outcome in outcomes if outcome.item >= 0]
    steps = [outcome for outcome in outcomes if outcome.item < 0]
    written = _write_items(items, plan=plan) if items else None
    if not steps:
        return written or Recorded()
    recorded = _write_steps(steps, plan=plan, carried=carried)
    return recorded if written is None else written.joined(recorded)


def _write_steps(outcomes: Sequence[Outcome], *, plan: Plan, carried: str | None) -> Recorded:
    """Write outcomes of steps, and what they release.

    The order is the protocol. Locks: keys of signals, then runs by ascending id, then tickets and rows. The fence
    comes first: only for winners is anything else written or, as a kept signal, used up; and only for those whose run
    is live and not stopped.
    """
    waits.lock_keys(outcomes)
    ordered = sorted(outcomes, key=lambda outcome: outcome.run.id.int)
    fence = _fence_linear if plan.linear else _fence_graph
    fenced, releases = fence(ordered, plan=plan, carried=carried)
    acting = [o for o in fenced.live if not (o.plain or endings.after_its_work(plan, o, ending=fenced.ending(o)))]
    dead_letters = _insert_dead_letters(acting)
    spawned = sub_workflows.spawn(acting)
    begun = for_each.begin(acting, plan=plan)
    recorded = _recorded(fenced, releases, carried=carried, dead_letters=dead_letters)
    recorded = replace(recorded, released=recorded.released or spawned, wakes=begun)
    met = waits.met(acting, plan=plan)
    return recorded.joined(_write_steps(met, plan=plan, carried=carried)) if met else recorded


def _fence_linear(
    ordered: Sequence[Outcome], *, plan: Plan, carried: str | None
) -> tuple[fences.Fenced, Sequence[Release]]:
    """Let in the winners and release what follows by one statement, then write their rows: nothing must be counted."""
    releases: Sequence[Release] = _release_linear(ordered, plan=plan, carried=carried)
    fenced = fences.fence_and_release(ordered, releases)
    releases = _of_live(fenced, releases)
    _insert_steps(fenced, releases)
    return fenced, releases


def _fence_graph(
    ordered: Sequence[Outcome], *, plan: Plan, carried: str | None
) -> tuple[fences.Fenced, Sequence[Release]]:
    """Let in the winners, write their rows, then read the runs by a statement of its own and release what follows."""
    fenced = fences.fence(ordered)
    _insert_steps(fenced, [])
    endings.note(plan, fenced.live, endings=fenced.endings)
    return fenced, _release_graph(fenced, fenced.live, plan=plan, carried=carried)


def _write_items(outcomes: Sequence[Outcome], *, plan: Plan) -> Recorded:
    """Write outcomes of items of for_each steps: of these, only retries are released; the others are counted.

    The order is the protocol, as in `_write_steps`. Where the run's work is over, an item is written and not counted:
    what follows the work begins when no item is under way.
    """
    waits.lock_keys(outcomes)
    fenced = fences.fence(sorted(outcomes, key=lambda outcome: outcome.key))
    _insert_steps(fenced, [])
    over = [o for o in fenced.live if endings.after_its_work(plan, o, ending=fenced.ending(o))]
    going = [o for o in fenced.live if not endings.after_its_work(plan, o, ending=fenced.ending(o))]
    retried = _release_retries(fenced, going)
    spawned = sub_workflows.spawn(going)
    wakes = for_each.count_ended(going)
    ends = _release_after_work(fenced, over, plan=plan) if over else []
    recorded = _recorded(replace(fenced, live=[]), ends, carried=None, dead_letters=[])
    recorded = replace(recorded, released=recorded.released or spawned or retried, wakes=wakes)
    met = waits.met(going, plan=plan)
    return recorded.joined(_write_items(met, plan=plan)) if met else recorded


def _release_retries(fenced: fences.Fenced, items: Sequence[Outcome]) -> bool:
    """Write the tickets of items that are to be retried; return whether there were any."""
    releases = [
        Release(
            run=o.run,
            tickets=tuple(replace(ticket, item=o.item) for ticket in tickets),
            state=_woken(o, ending=fenced.ending(o)),
        )
        for o in items
        if (tickets := releasing.retries(o))
    ]
    if releases:
        run(records.RELEASE, **columns.releases(releases))
    return bool(releases)


def _release_after_work(fenced: fences.Fenced, items: Sequence[Outcome], *, plan: Plan) -> list[Release]:
    """Release what follows the work of runs whose work was over before these items of theirs ended."""
    endings.note(plan, items, endings=fenced.endings)
    # One for each run: what follows its work begins once.
    last = {outcome.run.id: outcome for outcome in items}
    return _release_graph(fenced, list(last.values()), plan=plan, carried=None)


def _woken(outcome: Outcome, *, ending: RunState | None) -> RunState | None:
    """A run that waited goes on when an item of it does; one that does what follows its work may be compensating."""
    return RunState.RUNNING if isinstance(outcome.fence, HeldWait) and ending is None else None


def _insert_steps(fenced: fences.Fenced, releases: Iterable[Release]) -> None:
    """The rows of inline steps of the winners, and of what they skip.

    Many that cannot be there yet are copied, which costs the server half. Should one be there all the same, the set
    is split and done one by one.
    """
    new: list[_StepRow] = []
    copied: list[_StepRow] = []
    for outcome in fenced.won:
        if isinstance(outcome.fence, HeldTicket):
            rows = copied if outcome.plain and not outcome.fence.retried else new
            rows.extend((outcome.run.id, outcome.item, result) for result in outcome.results)
    if len(copied) < _COPIED_ROWS:
        new += copied
    else:
        copy(records.COPY_STEPS, columns.copied_steps(copied))
    new += _skipped(releases)
    if new:
        run(records.INSERT_STEPS, **columns.steps(new))


def _skipped(releases: Iterable[Release]) -> list[_StepRow]:
    return [(release.run.id, -1, result) for release in releases for result in release.skipped]


def _of_live(fenced: fences.Fenced, releases: Sequence[Release]) -> Sequence[Release]:
    """The releases of runs that are live and whose outcome passed its fence."""
    if len(fenced.live) == len(releases):
        return releases
    live = {outcome.run.id for outcome in fenced.live}
    return [release for release in releases if release.run.id in live]


def _insert_dead_letters(live: Sequence[Outcome]) -> list[tuple[UUID, StepResult]]:
    dead = [(o.run.id, o.item, r) for o in live for r in o.results if r.dead_reason is not None]
    if dead:
        run(INSERT_DEAD_LETTERS, **columns.dead_letters(dead))
    return [(run_id, result) for run_id, _, result in dead]


def _recorded(
    fenced: fences.Fenced,
    releases: Sequence[Release],
    *,
    carried: str | None,
    dead_letters: list[tuple[UUID, StepResult]],
) -> Recorded:
    ended = [(release.run.id, release.state.value) for release in releases if release.state in RUN_ENDED]
    return Recorded(
        won=frozenset(outcome.key for outcome in fenced.won),
        handed_on=() if carried is None else _handed_on(fenced, releases, carried=carried),
        released=any(ticket.knock == 0 for release in releases for ticket in release.tickets),
        ended=tuple(ended),
        below=tuple(run_id for run_id, _ in ended if run_id in fenced.with_parent),
        failed=tuple(dead_letters),
    )


def _handed_on(fenced: fences.Fenced, releases: Sequence[Release], *, carried: str) -> tuple[Key, ...]:
    """The winners whose release has a ticket for the head that the chain goes on to."""
    by_run = {release.run.id: release for release in releases}
    return tuple(o.key for o in fenced.live if any(t.head == carried for t in by_run[o.run.id].tickets))


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
    return _with_outputs(plan, [releasing.release_along(plan, o, carried=carried) for o in outcomes])


def _release_graph(fenced: fences.Fenced, live: Sequence[Outcome], *, plan: Plan, carried: str | None) -> list[Release]:
    """Read what each run has come to, now that its lock is held, and release from that one snapshot."""
    if not live:
        return []
    marks = engine_marks.marks(plan, live, endings=fenced.endings)
    releases = [
        releasing.release(plan, outcome, marks[outcome.run.id], carried=carried, ending=fenced.ending(outcome))
        for outcome in live
    ]
    releases = endings.followed(plan, _with_outputs(plan, releases), marks=marks)
    if skipped := _skipped(releases):
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
    return [releasing.finished(plan, found, fetched=fetched.get(found.run.id, {})) for found in releases]
