"""for_each: a step is performed for each item of a list, with a limited number of items open at a time (its window).

The step's own row (item -1) waits. `open_items` is the number of items that have a ticket or a row that has not ended;
`progress` says how far the step got. The record that ends an item counts it, under the run's lock, and makes the step's
row due. Then comes the step's turn: the delivery that ended the item, or else the sweep, opens as many other items as
the window has room for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import UUID

from django.db import transaction

from actions.base import Json, Permanent
from actions.expressions import step_results
from runs.domain.candidates import Key
from runs.domain.outcomes import HeldWait, Outcome, RunFacts, StepResult, Streamed
from runs.domain.states import StepState
from runs.engine import failure
from runs.engine.work import Clock, Work
from runs.planning import plan as plans
from runs.planning.plan import Plan
from runs.planning.steps import PlannedStep
from runs.queries import for_each, marks
from runs.queries import values as values_queries
from runs.queries.database import Row, columns, run
from runs.queries.values import loads
from workflows.definitions.definition import ForEach

# Up to this number of items, and of bytes of their JSON, the step's output contains the results. They are in the rows
# of the items in any case.
COLLECTED_RESULTS = 10_000
COLLECTED_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Turned:
    """The result of the turns of several for_each steps: the number of items that were opened, and the steps to end.

    `over` has the row ids of the steps whose items have all ended, grouped by version and step.
    """

    opened: int = 0
    over: dict[tuple[UUID, str], list[int]] = field(default_factory=dict)


def load(keys: Sequence[Key], *, head: str, reads: Sequence[str]) -> list[Row]:
    """tickets.load for items, without the run's input and other steps: `with_values` reads those once per run."""
    return run(for_each.LOAD_ITEMS, head=head, reads=list(reads), **values_queries.keys(keys))


def with_values(work: Sequence[Work], *, plan: Plan, step: PlannedStep) -> list[Work]:
    """Return the work with each item's value, and with the input and steps that its expressions use.

    Input and steps are read once per run, not once per item.
    """
    each = step.definition.for_each
    if each is None or not work:
        return list(work)
    keys = values_queries.keys([(one.run.id, one.item) for one in work])
    if each.streamed is None:
        found = run(for_each.VALUES, size=each.batch, step=step.id, **keys)
    else:
        found = run(for_each.STREAMED, step=each.streamed, **keys)
    values = {(row[0], row[1]): loads(row[2]) for row in found}
    runs = list({one.run.id for one in work})
    reads = plan.step_ids(step.item_reads)
    steps = _by_run(run(marks.OUTPUTS, runs=runs, reads=reads)) if reads else {}
    inputs = _by_run(run(for_each.INPUTS, runs=runs)) if step.items_read_input else {}
    return [
        one._replace(
            run=one.run._replace(input=inputs.get(one.run.id)),
            steps=steps.get(one.run.id, {}),
            value=values.get((one.run.id, one.item)),
        )
        for one in work
    ]


def _by_run(rows: Sequence[Row]) -> dict[UUID, Any]:
    return {run_id: loads(text) for run_id, text in rows}


def begin(live: Sequence[Outcome], *, plan: Plan) -> tuple[int, ...]:
    """Store the lists of for_each steps that begin now, in batches, except streamed ones, which are stored already.

    Return the ids of their rows, which are due.
    """
    begun = [(o.run.id, r.step, r.items) for o in live for r in o.results if r.items is not None]
    if not begun:
        return ()
    lists = [(run_id, plan.steps[step], items) for run_id, step, items in begun if not isinstance(items, Streamed)]
    if lists:
        batches = [batch for run_id, step, items in lists for batch in _batches(run_id, step, items)]
        kept = ("runs", "steps", "numbers", "items")
        run(for_each.KEEP, **dict(zip(kept, columns(batches, len(kept)), strict=True)))
    rows = [(run_id, step, values_queries.dumps(_nothing_done(_length(items)))) for run_id, step, items in begun]
    names = ("runs", "steps", "progresses")
    return tuple(row[0] for row in run(for_each.BEGIN, **dict(zip(names, columns(rows, len(names)), strict=True))))


def _length(items: list[Json] | Streamed) -> int:
    return items.length if isinstance(items, Streamed) else len(items)


def _batches(run_id: UUID, step: PlannedStep, items: list[Json]) -> Iterator[tuple[UUID, str, int, str]]:
    """Yield the rows in which a list is stored, one per batch."""
    for number, at in enumerate(range(0, len(items), step.batch)):
        yield run_id, step.id, number, values_queries.dumps(items[at : at + step.batch])


def count_ended(outcomes: Sequence[Outcome]) -> tuple[int, ...]:
    """Count the items that these outcomes end, in the transaction of their record. Return the ids of their steps' rows.

    Retries and waits are not ends, and are not counted.
    """
    counts: dict[tuple[UUID, str], dict[StepState, int]] = {}
    for outcome in outcomes:
        if outcome.last.state in (StepState.SUCCEEDED, StepState.FAILED, StepState.SKIPPED):
            of_step = counts.setdefault((outcome.run.id, outcome.last.step), {})
            of_step[outcome.last.state] = of_step.get(outcome.last.state, 0) + 1
    if not counts:
        return ()
    numbers = {
        state.value: [of_step.get(state, 0) for of_step in counts.values()]
        for state in (StepState.SUCCEEDED, StepState.FAILED, StepState.SKIPPED)
    }
    keys = {"runs": [key[0] for key in counts], "steps": [key[1] for key in counts]}
    return tuple(row[0] for row in run(for_each.ENDED, **keys, **numbers))


def due(*, limit: int) -> list[int]:
    """Return up to `limit` ids of for_each rows whose turn is due, the longest due first."""
    return [row[0] for row in run(for_each.DUE, limit=limit)]


def again(found: Sequence[tuple[UUID, str]]) -> None:
    """Let steps that were just retried by hand continue where they were: with failed items and those not begun yet."""
    run(for_each.AGAIN, runs=[one[0] for one in found], steps=[one[1] for one in found])


def begun(found: Sequence[tuple[UUID, str]]) -> frozenset[tuple[UUID, str]]:
    """Return those of these steps that have a list already. It stays the same, even if their input was edited since."""
    if not found:
        return frozenset()
    answer = run(for_each.BEGUN, runs=[one[0] for one in found], steps=[one[1] for one in found])
    return frozenset((row[0], row[1]) for row in answer)


def turn(row_ids: Sequence[int]) -> Turned:
    """Open as many items of these steps as their windows have room for, under the locks of their runs.

    The runs are locked first and read by the next statement.
    """
    over: dict[tuple[UUID, str], list[int]] = {}
    turns: list[tuple[object, ...]] = []
    count = 0
    with transaction.atomic():
        runs = [row[0] for row in run(for_each.LOCK, rows=list(row_ids))]
        for row in run(for_each.TURN, rows=list(row_ids), runs=runs) if runs else ():
            row_id, run_id, step_id, version_id, open_items, progress, now = row
            step = plans.load(version_id).steps[step_id]
            opening = _take(step, loads(progress), run_id=run_id, open_items=open_items, now=now)
            if opening is None:
                over.setdefault((version_id, step_id), []).append(row_id)
                continue
            first, past, now_open, after, wait = opening
            count += now_open - open_items
            turns.append((row_id, first, past, now_open, values_queries.dumps(after), wait))
        if turns:
            names = ("rows", "firsts", "pasts", "opens", "progresses", "waits")
            run(for_each.OPEN, **dict(zip(names, columns(turns, len(names)), strict=True)))
    return Turned(opened=count, over=over)


def finish(row_ids: Sequence[int], *, plan: Plan, step: str) -> list[Outcome]:
    """Return the outcomes of this step in runs in which its items have all ended.

    Their fence is that of a wait whose time has come.
    """
    each = plan.steps[step].definition.for_each
    most = COLLECTED_RESULTS if each is None or each.collect else -1
    found = run(for_each.FINISH, rows=list(row_ids), results=most, bytes=COLLECTED_BYTES)
    return [_finished(row, plan=plan) for row in found]


def _nothing_done(count: int) -> dict[str, Json]:
    return {"count": count, "succeeded": 0, "failed": 0, "skipped": 0, "next": 0, "redo": None, "began": None}


class _Opening(NamedTuple):
    """What a step's turn does: open the items from `first` up to, but not including, `past`.

    After that, `open_items` are open in total, and `progress` is the step's progress. `wait` is the number of seconds
    after which the next batch may begin; None if it need not wait.
    """

    first: int
    past: int
    open_items: int
    progress: Json
    wait: float | None


def _take(step: PlannedStep, progress: dict[str, Any], *, run_id: UUID, open_items: int, now: float) -> _Opening | None:
    """Decide what the step's turn opens: first failed items that are to be redone, then new ones.

    Return None if no item is open and none is left to open. `now` is the database's time in seconds since 1970, and so
    is the progress' `began`, the start of the last batch.
    """
    each = step.definition.for_each
    assert each is not None  # noqa: S101 - a row with a list is of a step with for_each
    stopping = each.on_item_error == "fail" and progress["failed"] > 0
    room = 0 if stopping else max(0, step.window - open_items)
    redone, redo = _redo(step, progress["redo"], run_id=run_id, room=room)
    first = progress["next"]
    past, began, wait = _next_items(each, progress, room=room - redone, now=now)
    open_items += redone + past - first
    more = not stopping and (past < progress["count"] or redo is not None)
    if not open_items and not more:
        return None
    return _Opening(first, past, open_items, {**progress, "next": past, "redo": redo, "began": began}, wait)


def _redo(step: PlannedStep, redo: int | None, *, run_id: UUID, room: int) -> tuple[int, int | None]:
    """Reopen failed items from item `redo` on. Return their number, and the item to continue at; None if none is left.

    With a `redo` of None there is nothing to reopen.
    """
    if not room or redo is None:
        return 0, redo
    redone = [row[0] for row in run(for_each.REDO, run=run_id, step=step.id, redo=redo, limit=room)]
    return len(redone), redone[-1] + 1 if len(redone) == room else None


def _next_items(
    each: ForEach, progress: dict[str, Any], *, room: int, now: float
) -> tuple[int, float | None, float | None]:
    """Decide which new items to open. Return three values: past, began, wait.

    New items up to, but not including, `past` are opened; `began` is the start of the last batch; `wait` is the number
    of seconds until the next batch may begin, if it must wait. With `min_batch_seconds`, a turn opens items of one
    batch only, and a batch begins that long after the one before.
    """
    first, count, began = progress["next"], progress["count"], progress["began"]
    if not room or first >= count:
        return first, began, None
    end = count
    if each.min_batch_seconds:
        end = min(count, (first // each.batch + 1) * each.batch)
        if first % each.batch == 0:
            wait = _rest(began, each.min_batch_seconds, now)
            if wait is not None:
                return first, began, wait
            began = now
    past = min(first + room, end)
    return past, began, _rest(began, each.min_batch_seconds, now) if past == end < count else None


def _rest(began: float | None, seconds: float, now: float) -> float | None:
    """Return the seconds until the next batch may begin; None if it may begin now."""
    left = 0.0 if began is None else began + seconds - now
    return left if left > 0 else None


def _results(results: Json, *, count: int, collect: bool) -> dict[str, Json]:
    """Return the results for the step's output, or why they are not in it."""
    if results is not None:
        return {step_results.RESULTS: results}
    if not collect:
        why = "the step has collect: false"
    elif count > COLLECTED_RESULTS:
        why = f"they are {count:,}, more than {COLLECTED_RESULTS:,}"
    else:
        why = f"the {count:,} are larger than {COLLECTED_BYTES >> 20} MB as JSON"
    return {step_results.LEFT_OUT: {"count": count, "why": why}}


def _finished(row: Row, *, plan: Plan) -> Outcome:
    run_id, step_id, attempt, attempts, began, now, counted, given, started_at, generation = row[:10]
    results, failures, lettered = row[10:]
    step = plan.steps[step_id]
    facts = RunFacts(id=run_id, input=loads(given), began=started_at.timestamp(), generation=generation)
    progress = loads(counted)
    counts: dict[str, Json] = {key: progress[key] for key in ("count", "succeeded", "failed", "skipped")}
    tries = loads(attempts) or []
    each = step.definition.for_each
    if each is not None and each.on_item_error == "fail" and progress["failed"]:
        failed = loads(failures) or []
        why = failed[0]["error"] if failed else {}
        pointer = {"dead_letter_run": why["details"]["dead_letter_run"]} if lettered else {}
        error = Permanent(
            f"step {step_id!r}: {progress['failed']} of {progress['count']} items failed; the first, "
            f"item {failed[0]['item'] if failed else '?'}: {why.get('message', '')}",
            kind="for_each",
            details={**counts, **pointer, "items": failed},
        )
        work = Work(run=facts, item=-1, steps={}, clock=Clock(at=now), attempt=attempt, attempts=tries)
        tried = failure.Tried(began)
        result = failure.failed(step, work, error, tried)
        if lettered and result.dead_reason == tried.reason:
            # One fault, one dead letter: those of the runs below, whose retry lets their items wait again.
            result = result._replace(dead_reason=None)
    else:
        collect = each is None or each.collect
        output: Json = {**counts, **_results(loads(results), count=progress["count"], collect=collect)}
        result = StepResult(
            step=step_id, state=StepState.SUCCEEDED, output=output, attempt=attempt, attempts=tries, started_at=began
        )
    return Outcome(run=facts, fence=HeldWait(), results=(result,))
