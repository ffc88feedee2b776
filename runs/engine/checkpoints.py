"""Checkpoints of attempts under way: at most one a second is written, under the attempt's fence.

The first is written at once, in the thread of the action. What comes within a second after that is kept, and written
when the second is over, or at the attempt's end before it is recorded, whichever comes first. So a process that dies
loses what is younger than a second.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from dataclasses import dataclass

import orjson
from django.db import Error, InterfaceError, OperationalError

from actions import payload
from actions.base import ActionError, Cancelled, Json, Permanent
from runs.engine.lease import Held
from runs.engine.thread_pool import borrowed_connection
from runs.engine.work import Work
from runs.queries.checkpoints import RESUME, SAVE_CHECKPOINT
from runs.queries.database import run
from runs.queries.values import loads

log = logging.getLogger(__name__)

MAX_BYTES = 256 * 1024
EVERY_SECONDS = 1.0
_MOST = 2**53
_SETTLE_SECONDS = 2.0


@dataclass(frozen=True)
class Checkpoint:
    """What an attempt has done so far: `data` for the next attempt, as JSON text, and the counts, for people."""

    data: str
    done: int | None
    failed: int | None
    total: int | None


class _State:
    """One attempt: its lock, what is still to be written, when the last was written, and whether its fence is lost."""

    def __init__(self, basis: str) -> None:
        self.lock = threading.Lock()
        self.basis = basis
        self.pending: Checkpoint | None = None
        self.written_at = float("-inf")
        self.lost = False


# The attempts of this process that have made a checkpoint.
_states: dict[Held, _State] = {}


def save(held: Held, work: Work, checkpoint: Checkpoint) -> bool:
    """Write a checkpoint of an attempt, or keep it, and then return true: `write_due` has to be called for it.

    Raises Cancelled if the attempt has lost its fence: its step was given up, or another process has it.
    """
    state = _states.get(held)
    if state is None:
        state = _states.setdefault(held, _State(_basis(work)))
    with state.lock:
        state.pending = checkpoint
        if not state.lost and time.monotonic() - state.written_at >= EVERY_SECONDS:
            _write(held, state)
        if state.lost:
            state.pending = None
            message = "the step was taken from this attempt, so its checkpoint is not written; stop here"
            raise Cancelled(message)
        return state.pending is not None


def write_due() -> float | None:
    """Write the kept checkpoints whose second is over; return the seconds until the next is due, None without one."""
    now = time.monotonic()
    left: list[float] = []
    for held, state in list(_states.items()):
        if state.pending is None or not state.lock.acquire(blocking=False):
            continue
        try:
            if state.pending is not None and state.written_at + EVERY_SECONDS <= now:
                _write(held, state)
            if state.pending is not None:
                left.append(max(0.05, state.written_at + EVERY_SECONDS - now))
        finally:
            state.lock.release()
    return min(left, default=None)


def settle(held: Held) -> None:
    """Write what is kept of an attempt that has ended, before its record ends its fence. Free without a checkpoint."""
    if not _states or (state := _states.pop(held, None)) is None:
        return
    # The action of an attempt that is given up may hold the lock for long: it is writing a checkpoint itself.
    if state.lock.acquire(timeout=_SETTLE_SECONDS):
        try:
            if state.pending is not None and not state.lost:
                _write(held, state)
        finally:
            state.lock.release()


def waits() -> bool:
    """Whether a checkpoint is kept that is still to be written."""
    return any(state.pending is not None for state in list(_states.values()))


def forget() -> None:
    """Forget all attempts, as a process that was just forked: they are its parent's."""
    _states.clear()


def resume(held: Held, work: Work) -> Json:
    """Return the data of the last checkpoint of an earlier attempt with the same input; None if there is none."""
    run_id, item, step, attempt = held
    if attempt <= 1:
        return None
    with borrowed_connection():
        found = run(RESUME, run=run_id, step=step, item=item, basis=_basis(work))
    known: Json = loads(found[0][0]) if found else None
    return known


def cleaned(step: str, data: Json) -> Json:
    """Return the data of a checkpoint as JSON. Raises Permanent for data that is none."""
    try:
        return payload.clean(data)
    except ActionError as error:
        raise _refused(step, f"its data is no JSON: {error}") from None


def checked(step: str, data: Json, *, done: int | None, failed: int | None, total: int | None) -> Checkpoint:
    """Return the checkpoint of clean data. Raises Permanent if it is too large, and for counts that are none."""
    for name, count in (("done", done), ("failed", failed), ("total", total)):
        if count is not None and (isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= _MOST):
            raise _refused(step, f"{name} is {str(count)[:40]!r}, and must be a whole number from 0")
    text = orjson.dumps(data)
    if len(text) > MAX_BYTES:
        size = f"{len(text):,} bytes of JSON, and {MAX_BYTES:,} are allowed"
        raise _refused(step, f"its data is {size}; keep where to go on, not what was done")
    return Checkpoint(text.decode(), done, failed, total)


def _refused(step: str, what: str) -> Permanent:
    return Permanent(f"step {step!r}: the checkpoint cannot be kept: {what}", kind="checkpoint")


def _basis(work: Work) -> str:
    """Return a hash of what may change between attempts of a step by hand: an edited input, the run's generation."""
    edited = orjson.dumps(work.edited, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(b"%d|%s" % (work.run.generation, edited)).hexdigest()[:32]


def _write(held: Held, state: _State) -> None:
    """Write what is kept, or notice that the fence is lost. If the database is away, it stays kept."""
    kept = state.pending
    if kept is None:
        return
    run_id, item, step, attempt = held
    facts = {"run": run_id, "item": item, "step": step, "attempt": attempt}
    state.written_at = time.monotonic()
    try:
        with borrowed_connection():
            won = run(
                SAVE_CHECKPOINT,
                **facts,
                basis=state.basis,
                data=kept.data,
                done=kept.done,
                failed=kept.failed,
                total=kept.total,
            )
    except (OperationalError, InterfaceError) as error:
        log.warning("checkpoint_not_written", extra={"run_id": str(run_id), "step": step, "error": str(error)})
        return
    except Error as error:  # a value that PostgreSQL refuses, which another try would not change
        log.warning("checkpoint_refused", extra={"run_id": str(run_id), "step": step, "error": str(error)})
        won = [(1,)]
    state.pending = None
    state.lost = not won
