"""Turn results, outcomes and releases into the parameters of a record's statements: one array for each column."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import orjson
from uuid_utils.compat import uuid7

from actions.base import Json
from runs.domain.outcomes import HeldClaim, HeldWait, Outcome, StepResult
from runs.domain.releases import NextTicket, Release
from runs.domain.states import StepState
from runs.queries.database import columns
from runs.queries.values import Params, dumps, nullable


def steps(results: Sequence[tuple[UUID, int, StepResult]]) -> Params:
    """Columns of INSERT_STEPS."""
    values = [
        (
            run_id,
            item,
            r.step,
            r.state.value,
            r.attempt,
            dumps(r.attempts),
            r.wake_at,
            r.signal,
            r.signal_key,
            r.awaits,
            nullable(r.config),
            nullable(r.output),
            nullable(r.error),
            r.started_at,
            r.finished_at,
        )
        for run_id, item, r in results
    ]
    names = [
        "step_runs",
        "step_items",
        "steps",
        "states",
        "tries",
        "histories",
        "wakes",
        "signals",
        "signal_keys",
        "awaits",
    ]
    names += ["configs", "outputs", "errors", "starts", "finishes"]
    return dict(zip(names, columns(values, len(names)), strict=True))


# COPY's binary format: each field is preceded by its length (-1 for NULL); times are in microseconds since 2000.
_COPY_BEGIN, _COPY_END = b"PGCOPY\n\xff\r\n\0" + bytes(8), b"\xff\xff"
_ID, _NULL = struct.pack(">hi", 10, 16), struct.pack(">i", -1)
_JSONB, _TIMES = struct.Struct(">iB"), struct.Struct(">iqiq")
_SINCE, _MICROSECOND = datetime(2000, 1, 1, tzinfo=UTC), timedelta(microseconds=1)


def copied_steps(results: Sequence[tuple[UUID, int, StepResult]]) -> bytes:
    """Return the rows for COPY_STEPS in COPY's binary format. Only for steps that succeeded at their first attempt."""
    written = [_COPY_BEGIN]
    same: dict[tuple[str, int], bytes] = {}
    before: datetime | None = None
    began = ended = 0
    for run_id, item, r in results:
        if (r.step, item) not in same:
            same[r.step, item] = _first_success(r.step, item)
        # In most rows, this is the same object as the end of the row before.
        began = ended if r.started_at is before else _microseconds(r.started_at)
        ended, before = _microseconds(r.finished_at), r.finished_at
        times = _TIMES.pack(8, began, 8, ended)
        written += (_ID, run_id.bytes, same[r.step, item], _jsonb(r.config), _jsonb(r.output), times)
    written.append(_COPY_END)
    return b"".join(written)


def _first_success(step: str, item: int) -> bytes:
    """Return the fields step, item, state, attempt and attempts, which are the same for every run."""
    name, state = step.encode(), StepState.SUCCEEDED.value.encode()
    first = struct.pack(f">i{len(name)}sii", len(name), name, 4, item)
    return first + struct.pack(f">i{len(state)}siiiB2s", len(state), state, 4, 1, 3, 1, b"[]")


def _microseconds(at: datetime | None) -> int:
    if at is None:
        raise ValueError("a step that succeeded has no time")
    return (at - _SINCE) // _MICROSECOND


def _jsonb(value: Json) -> bytes:
    if value is None:
        return _NULL
    text = orjson.dumps(value)
    return _JSONB.pack(len(text) + 1, 1) + text


def outcomes(found: Sequence[Outcome]) -> Params:
    """Columns of the fences of claims and waits, where an outcome has exactly one result."""
    values = [
        (
            o.run.id,
            o.item,
            o.last.step,
            o.fence.attempt if isinstance(o.fence, HeldClaim) else o.last.attempt,
            o.fence.process if isinstance(o.fence, HeldClaim) else None,
            o.last.state.value,
            nullable(o.last.output),
            nullable(o.last.error),
            nullable(o.last.config),
            dumps(o.last.attempts),
            o.last.wake_at,
            o.fence.signal if isinstance(o.fence, HeldWait) else o.last.signal,
            o.last.signal_key,
            o.last.awaits,
        )
        for o in found
    ]
    names = [
        "runs",
        "items",
        "steps",
        "tries",
        "processes",
        "states",
        "outputs",
        "errors",
        "configs",
        "histories",
        "wakes",
    ]
    names += ["signals", "signal_keys", "awaits"]
    return dict(zip(names, columns(values, len(names)), strict=True))


def releases(found: Sequence[Release]) -> Params:
    """Columns of RELEASE: the tickets to write, and the runs that change their state."""
    tickets = [(r.run.id, t.head, t.item, t.due, t.knock, t.sends, t.suspect) for r in found for t in r.tickets]
    ends = [
        (r.run.id, r.state.value, nullable(r.output), nullable(r.error), r.ending.value if r.ending else None)
        for r in found
        if r.state
    ]
    first = ["next_runs", "next_heads", "next_items", "next_dues", "next_knocks", "next_sends", "next_suspects"]
    second = ["end_runs", "end_states", "end_outputs", "end_errors", "end_endings"]
    return {
        **dict(zip(first, columns(tickets, len(first)), strict=True)),
        **dict(zip(second, columns(ends, len(second)), strict=True)),
    }


def ends(found: Sequence[Release]) -> Params:
    """Columns of the states that runs of a linear plan change to: one row per run, NULL where its state stays."""
    values = [
        (None, None, None, None)
        if r.state is None
        else (r.state.value, nullable(r.output), nullable(r.error), r.ending.value if r.ending else None)
        for r in found
    ]
    names = ["end_states", "end_outputs", "end_errors", "end_endings"]
    return dict(zip(names, columns(values, len(names)), strict=True))


def next_tickets(found: Sequence[Release]) -> Params:
    """Columns of the next tickets of runs of a linear plan: one row per run, NULL where it has none."""
    tickets = [_next(*r.tickets) for r in found]
    names = ["next_heads", "next_items", "next_dues", "next_knocks", "next_sends", "next_suspects"]
    return dict(zip(names, columns(tickets, len(names)), strict=True))


def _next(ticket: NextTicket | None = None) -> tuple[object, ...]:
    if ticket is None:
        return (None,) * 6
    return (ticket.head, ticket.item, ticket.due, ticket.knock, ticket.sends, ticket.suspect)


def dead_letters(found: Sequence[tuple[UUID, int, StepResult]]) -> Params:
    """Columns of INSERT_DEAD_LETTERS."""
    values = [
        (
            uuid7(),
            run_id,
            r.step,
            item,
            r.dead_reason,
            dumps(r.error),
            nullable(r.given),
            nullable(r.used),
            dumps(r.attempts),
        )
        for run_id, item, r in found
    ]
    names = ["ids", "runs", "steps", "items", "reasons", "errors", "inputs", "configs", "histories"]
    return dict(zip(names, columns(values, len(names)), strict=True))
