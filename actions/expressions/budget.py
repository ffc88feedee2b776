"""The budget of an evaluation: what it may make, the memory that it may take, and its processor time.

Every operator, filter and test says here what it is about to do, in three ways:

- `charge(units)`: characters and items that it makes. They count against MADE, and 16 bytes each against MEMORY_BYTES,
  which is enough for the widest character and for an item's place in a list that grows.
- `hold(size)`: bytes of small objects that it makes besides, such as an object for each group.
- `work(units)`: characters and items that it only looks at. They are not limited, but counted: after every
  _SLICE units, made or looked at, the processor time of this thread is compared with the limit.

Processor time, and not the clock: on a busy machine an honest expression may wait for long.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

# How many characters and items one evaluation may make in all.
MADE = 2_000_000
# How much memory an evaluation may take in all; or all evaluations of a rendering together.
MEMORY_BYTES = 64 * 1024 * 1024
# How much processor time an evaluation may take; or all evaluations of a rendering together.
CPU_MILLISECONDS = 2_000
# The same for everything that one request to the web process evaluates.
WEB_CPU_MILLISECONDS = 50

_BYTES = 16
_SLICE = 20_000
_ITEMS = 1_000


class Refused(Exception):
    """An operation that is refused for these values; the message says which operation, and why."""


class Spent(NamedTuple):
    """What this thread's last evaluation was charged: units looked at or made, units made, bytes."""

    work: int
    made: int
    memory: int


class _Budget(threading.local):
    """What this thread has left. `shared` while several evaluations take from one budget."""

    made = MADE
    memory = MEMORY_BYTES
    slice = _SLICE
    slices = 0
    cpu_milliseconds = CPU_MILLISECONDS
    until: float | None = None
    shared = False


_budget = _Budget()


def refill() -> None:
    """Begin the budget of a new evaluation. Inside `shared` only what it may make begins anew."""
    _budget.made = MADE
    if not _budget.shared:
        _begin(CPU_MILLISECONDS)


def _begin(cpu_milliseconds: int) -> None:
    _budget.memory = MEMORY_BYTES
    _budget.slice, _budget.slices = _SLICE, 0
    _budget.cpu_milliseconds = cpu_milliseconds
    # Without a shared budget the time counts from the end of the first slice: most evaluations never ask the clock.
    _budget.until = None


@contextmanager
def shared(*, cpu_milliseconds: int = CPU_MILLISECONDS) -> Iterator[None]:
    """Let all evaluations inside take their memory and processor time from one budget. The outermost one counts."""
    if _budget.shared:
        yield
        return
    _begin(cpu_milliseconds)
    _budget.until = time.thread_time() + cpu_milliseconds / 1000
    _budget.shared = True
    try:
        yield
    finally:
        _budget.shared = False


def charge(units: int) -> None:
    """Subtract characters and items that are about to be made. Raises Refused when a limit is reached."""
    _budget.made -= units
    if _budget.made < 0:
        raise Refused(f"makes too much: an expression may make {MADE:,} characters and items in all")
    hold(_BYTES * units)
    work(units)


def hold(size: int) -> None:
    """Subtract bytes of objects that are about to be made. Raises Refused when the memory's limit is reached."""
    _budget.memory -= size
    if _budget.memory < 0:
        megabytes = MEMORY_BYTES // 1024 // 1024
        raise Refused(f"takes too much memory: an expression may take {megabytes} MB; work it out in several steps")


def work(units: int) -> None:
    """Count characters and items that are about to be looked at. Raises Refused when the time is used up."""
    _budget.slice -= units
    if _budget.slice < 0:
        _look_at_the_clock()


def _look_at_the_clock() -> None:
    _budget.slices += _SLICE - _budget.slice
    _budget.slice = _SLICE
    now = time.thread_time()
    if _budget.until is None:
        _budget.until = now + _budget.cpu_milliseconds / 1000
    elif now > _budget.until:
        raise Refused(
            f"takes too long: it may take {_budget.cpu_milliseconds:,} ms of processor time; "
            "give it less to look at, or work it out in several steps"
        )


def each(items: Sequence[Any]) -> Iterator[Any]:
    """Yield the items, and count them in small parts: so the time of a loop over many of them is limited too."""
    for at in range(0, len(items), _ITEMS):
        part = items[at : at + _ITEMS]
        work(len(part))
        yield from part


def spent() -> Spent:
    """Return what was charged since this thread's last evaluation, or `shared`, began."""
    worked = _budget.slices + _SLICE - _budget.slice
    return Spent(work=worked, made=MADE - _budget.made, memory=MEMORY_BYTES - _budget.memory)
