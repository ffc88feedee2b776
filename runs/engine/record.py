"""Record outcomes: check the fences, write the rows and release what follows, for a set of runs in one transaction.

Nothing else writes the results of steps.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from uuid import UUID

import orjson
from django.db import DatabaseError, transaction

from runs.domain.candidates import Candidate
from runs.domain.outcomes import HeldClaim, HeldTicket, HeldWait, Outcome, Recorded, StepResult
from runs.domain.releases import Release
from runs.domain.states import RUN_ENDED, RunState
from runs.engine import columns, endings, failure, fences, for_each, run_letters, run_outputs, sub_workflows, waits
from runs.engine import marks as engine_marks
from runs.engine import release as releasing
from runs.engine.onward import NOWHERE, Onward
from runs.planning.plan import Plan
from runs.queries import database, records
from runs.queries.database import copy, run
from runs.queries.dead_letters import INSERT_DEAD_LETTERS

log = logging.getLogger(__name__)

# From this number of rows on, COPY is used; fewer cost less in one statement with everything else.
_COPIED_ROWS = 30
# A row to insert: run, item and result.
_StepRow = tuple[UUID, int, StepResult]


def record(
    outcomes: Sequence[Outcome], *, plan: Plan, onward: Onward = NOWHERE, is_late: Callable[[], bool] = lambda: False
) -> Recorded:
    """Write outcomes, and release what follows, in one transaction. An outcome that lost its fence is ignored.

    A set may have several outcomes of the same run. `onward` is what the caller takes further itself. If a set fails,
    its outcomes are recorded one by one: one with values that the database refuses is recorded as failed, with reason
    `unrecordable`; one that a lock kept out is returned in `left`. If the outputs of runs that end take long, the set
    is recorded in parts, and what is left when `is_late` is returned in `left`. Raises django.db.Error if the database
    cannot be reached, or refuses for another reason than the values.
    """
    size = 1
    if not outcomes:
        return Recorded()
    onward.begin()
    try:
        if (recorded := _record_in_one_statement(outcomes, plan=plan, onward=onward)) is not None:
            return recorded
        try:
            with transaction.atomic():
                return _record(outcomes, plan=plan, onward=onward)
        except BaseException:
            onward.give_up()
            raise
    except (DatabaseError, orjson.JSONEncodeError) as error:
        onward = onward.without_claims()
        if len(outcomes) == 1:
            return _record_refused(outcomes[0], error, plan=plan, onward=onward)
        log.warning("set_split", extra={"count": len(outcomes), "error": str(error)})
    except run_outputs.TakesLong as error:
        onward, size = onward.without_claims(), error.done
    found = Recorded()
    for at in range(0, len(outcomes), size):
        if at and is_late():
            return found.joined(Recorded(left=tuple(outcomes[at:])))
        found = found.joined(record(outcomes[at : at + size], plan=plan, onward=onward, is_late=is_late))
    return found


def record_within(outcome: Outcome, *, plan: Plan, onward: Onward) -> Recorded:
    """Record one outcome in the caller's transaction, which also contains the step's effect.

    Unlike `record`, this handles no errors. It raises django.db.DatabaseError and orjson.JSONEncodeError; the caller's
    transaction must then not be committed.
    """
    return _record([outcome], plan=plan, onward=onward)


def _record(outcomes: Sequence[Outcome], *, plan: Plan, onward: Onward) -> Recorded:
    recorded = _write(outcomes, plan=plan, onward=onward)
    # The parents' step rows are the last locks of the transaction; one statement takes them, in order.
    return (
        replace(recorded, wakes=recorded.wakes + sub_workflows.wake_parents(recorded.below))
        if recorded.below
        else recorded
    )


def _record_in_one_statement(outcomes: Sequence[Outcome], *, plan: Plan, onward: Onward) -> Recorded | None:
    """Record outcomes by a single statement, which is the shortest transaction; return None if that is not enough.

    It is for steps that succeeded in a linear plan: claimed steps, and links of inline steps with few rows to write.
    """
    if not plan.linear or not all(o.plain and o.item < 0 and not o.run.below for o in outcomes):
        return None
    kind = type(outcomes[0].fence)
    if kind is HeldTicket:
        if sum(len(outcome.results) for outcome in outcomes) >= _COPIED_ROWS:
            return None
    elif kind is not HeldClaim:
        return None
    ordered = sorted(outcomes, key=lambda outcome: outcome.run.id.int)  # Python compares UUIDs slowly
    releases = _release_linear(ordered, plan=plan, onward=onward)
    if plan.definition.output is not None and any(release.dead_reason is not None for release in releases):
        return None
    skipped = _skipped(releases)
    claims = onward.claims(plan, ordered, releases)
    if kind is HeldTicket:
        steps = [(outcome.run.id, -1, result) for outcome in ordered for result in outcome.results]
        fenced = fences.fence_write_and_release(ordered, releases, steps=steps + skipped, claims=claims)
    elif skipped:
        return None
    else:
        fenced = fences.fence_and_release(ordered, releases, claims=claims)
    onward.took(plan, ordered, releases, fenced.claimed)
    return _recorded(fenced, _of_live(fenced, releases), onward=onward, dead_letters=[])


def _write(outcomes: Sequence[Outcome], *, plan: Plan, onward: Onward) -> Recorded:
    """Write outcomes of items and outcomes of steps, each by its own function. Most sets are of one kind only."""
    items = [outcome for outcome in outcomes if outcome.item >= 0]
    steps = [outcome for outcome in outcomes if outcome.item < 0]
    written = _write_items(items, plan=plan) if items else None
    if not steps:
        return written or Recorded()
    recorded = _write_steps(steps, plan=plan, onward=onward)
    return recorded if written is None else written.joined(recorded)


def _write_steps(outcomes: Sequence[Outcome], *, plan: Plan, onward: Onward) -> Recorded:
    """Write outcomes of steps, and what they release.

    The order of the statements is the protocol. First the locks: keys of signals, then runs by ascending id, then
    tickets and step rows. Then the fence, before anything else is written. Only for outcomes that won it, in runs that
    are live and not stopped, are dead letters, sub-workflow runs and lists written, and kept signals used up.
    """
    waits.lock_keys(outcomes)
    ordered = sorted(outcomes, key=lambda outcome: outcome.run.id.int)
    fence = _fence_linear if plan.linear else _fence_graph
    fenced, releases = fence(ordered, plan=plan, onward=onward)
    acting = [o for o in fenced.live if not (o.plain or endings.after_its_work(plan, o, ending=fenced.ending(o)))]
    dead_letters = _insert_dead_letters(acting)
    if plan.definition.output is not None:
        dead_letters += run_letters.of_releases(releases)
    spawned = sub_workflows.spawn(acting)
    begun = for_each.begin(acting, plan=plan)
    recorded = _recorded(fenced, releases, onward=onward, dead_letters=dead_letters)
    recorded = replace(recorded, released=recorded.released or spawned, wakes=begun)
    met = waits.met(acting, plan=plan)
    # Their fence is that of a wait, whose record claims nothing.
    return recorded.joined(_write_steps(met, plan=plan, onward=onward.without_claims())) if met else recorded


def _fence_linear(ordered: Sequence[Outcome], *, plan: Plan, onward: Onward) -> tuple[fences.Fenced, Sequence[Release]]:
    """Check the fences and release what follows in one statement, then insert rows.

    In a linear plan this is safe, because an outcome alone decides what follows.
    """
    releases: Sequence[Release] = _release_linear(ordered, plan=plan, onward=onward)
    fenced = fences.fence_and_release(ordered, releases, claims=onward.claims(plan, ordered, releases))
    onward.took(plan, ordered, releases, fenced.claimed)
    releases = _of_live(fenced, releases)
    _insert_steps(fenced, releases)
    return fenced, releases


def _fence_graph(ordered: Sequence[Outcome], *, plan: Plan, onward: Onward) -> tuple[fences.Fenced, Sequence[Release]]:
    """Check the fences and write the winners' rows; then read their runs and release what follows.

    The runs are read by a statement of its own, after the one that locks them: a statement's snapshot is older than the
    lock that it waits for, and would not show what another branch has recorded meanwhile.
    """
    fenced = fences.fence(ordered)
    _insert_steps(fenced, [])
    endings.note(plan, fenced.live, endings=fenced.endings)
    return fenced, _release_graph(fenced, fenced.live, plan=plan, onward=onward)


def _write_items(outcomes: Sequence[Outcome], *, plan: Plan) -> Recorded:
    """Write outcomes of items of for_each steps. Retries get tickets; items that ended are counted at their step's row.

    The order is the protocol, as in `_write_steps`. If the work of the run is over, because it was stopped, an item is
    written but not counted; what follows the work begins when no item is under way any more.
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
    recorded = _recorded(replace(fenced, live=[]), ends, onward=NOWHERE, dead_letters=[])
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
    """Release what follows the work of runs whose work was over before these items ended."""
    endings.note(plan, items, endings=fenced.endings)
    # One outcome for each run, so that what follows its work begins once.
    last = {outcome.run.id: outcome for outcome in items}
    return _release_graph(fenced, list(last.values()), plan=plan, onward=NOWHERE)


def _woken(outcome: Outcome, *, ending: RunState | None) -> RunState | None:
    """Return the state to set when an item's wait has ended: `running`, because the run may be `waiting`.

    Return None if nothing is to be set: no wait has ended, or the run's work is over and it may be `compensating`.
    """
    return RunState.RUNNING if isinstance(outcome.fence, HeldWait) and ending is None else None


def _insert_steps(fenced: fences.Fenced, releases: Iterable[Release]) -> None:
    """Insert the winners' rows of inline steps, and rows of the steps that `releases` skip.

    Many rows that cannot exist yet are written by COPY, which costs the server half. If one exists all the same, COPY
    fails, and `record` repeats the outcomes one by one.
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
    """Return the releases of runs that are live and whose outcome won its fence."""
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
    onward: Onward,
    dead_letters: list[tuple[UUID, StepResult]],
) -> Recorded:
    ended = [(release.run.id, release.state.value) for release in releases if release.state in RUN_ENDED]
    return Recorded(
        won=frozenset(outcome.candidate for outcome in fenced.won),
        handed_on=_handed_on(releases, onward) if onward.carried else (),
        released=_released(releases, onward),
        ended=tuple(ended),
        below=tuple(run_id for run_id, _ in ended if run_id in fenced.with_parent),
        failed=tuple(dead_letters),
    )


def _released(releases: Sequence[Release], onward: Onward) -> bool:
    """Whether a ticket was written for which a message is due now."""
    claimed = onward.last_claimed()
    return any(
        ticket.knock == 0 and Candidate(release.run.id, ticket.item, ticket.head) not in claimed
        for release in releases
        for ticket in release.tickets
    )


def _handed_on(releases: Sequence[Release], onward: Onward) -> tuple[Candidate, ...]:
    """Return the tickets that were written as sent; what was claimed instead has none."""
    found = [
        Candidate(release.run.id, ticket.item, ticket.head)
        for release in releases
        for ticket in release.tickets
        if ticket.sends and ticket.head in onward.carried
    ]
    claimed = onward.last_claimed()
    return tuple(one for one in found if one not in claimed) if claimed else tuple(found)


def _record_refused(outcome: Outcome, error: Exception, *, plan: Plan, onward: Onward) -> Recorded:
    """Handle a single outcome that could not be recorded: leave it for later, raise, or record it as failed.

    Which of these depends on the error, see by_lock and by_value in runs.queries.database.
    """
    if database.by_lock(error):
        log.warning("record_locked_out", extra={"run_id": str(outcome.run.id), "error": str(error)})
        return Recorded(left=(outcome,))
    if not database.by_value(error):
        raise error
    log.error("step_unrecordable", extra={"run_id": str(outcome.run.id), "error": str(error)})
    with transaction.atomic():
        return _record([failure.unrecordable(outcome, error, plan=plan)], plan=plan, onward=onward)


def _release_linear(outcomes: Sequence[Outcome], *, plan: Plan, onward: Onward) -> list[Release]:
    """Return what follows in a linear plan, where an outcome alone decides that."""
    return run_outputs.completed(plan, [releasing.release_along(plan, o, carried=onward.carried) for o in outcomes])


def _release_graph(fenced: fences.Fenced, live: Sequence[Outcome], *, plan: Plan, onward: Onward) -> list[Release]:
    """Read the marks of each run in one snapshot, under its lock, and write the releases that follow from them.

    The outcomes of one run are decided together: of two branches that end in one set, exactly one releases their join.
    """
    if not live:
        return []
    live = _one_for_each_run(live)
    marks = engine_marks.marks(plan, live, endings=fenced.endings)
    releases = [
        releasing.release(plan, outcome, marks[outcome.run.id], carried=onward.carried, ending=fenced.ending(outcome))
        for outcome in live
    ]
    releases = endings.followed(plan, run_outputs.completed(plan, releases), marks=marks)
    if skipped := _skipped(releases):
        run(records.INSERT_STEPS, **columns.steps(skipped))
    if any(found.tickets or found.state for found in releases):
        run(records.RELEASE, **columns.releases(releases))
    onward.claim(plan, live, releases)
    return releases


def _one_for_each_run(live: Sequence[Outcome]) -> Sequence[Outcome]:
    """Return one outcome for each run, with the results of all its outcomes."""
    found: dict[UUID, Outcome] = {}
    for outcome in live:
        other = found.get(outcome.run.id)
        found[outcome.run.id] = (
            outcome
            if other is None
            else outcome._replace(results=other.results + outcome.results, steps={**other.steps, **outcome.steps})
        )
    return live if len(found) == len(live) else list(found.values())
