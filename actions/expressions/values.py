"""JSON values as expressions see them: the budget that all work on them is charged to, how they are read and compared,
and the tests of expressions.

Every operator, filter and test says here what it is about to do, in three ways:

- `charge(units)`: characters and items that it makes. They count against MADE, and 16 bytes each against MEMORY_BYTES,
  which is enough for the widest character and for an item's place in a list that grows.
- `hold(size)`: bytes of small objects that it makes besides, such as an object for each group.
- `work(units)`: characters and items that it only looks at. They are not limited, but counted: after every
  _SLICE units, made or looked at, the processor time of this thread is compared with the limit.

Processor time, and not the clock: on a busy machine an honest expression may wait for long.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import orjson

# How many characters and items one evaluation may make in all.
MADE = 2_000_000
# How much memory an evaluation may take in all; or all evaluations of a rendering together.
MEMORY_BYTES = 64 * 1024 * 1024
# How much processor time an evaluation may take; or all evaluations of a rendering together.
CPU_MILLISECONDS = 2_000
# The same for what one request to the web process evaluates.
WEB_CPU_MILLISECONDS = 50

# Bytes of an empty list, besides its items, and of a short text, besides its characters.
LIST_BYTES = 64
TEXT_BYTES = 72

_BYTES = 16
_SLICE, _ITEMS = 20_000, 1_000
_INT_LIMIT = 2**63
# A text is searched in windows of this many characters, and the time is looked at between them.
_WINDOW = 500_000
# A list is searched at once for a number or a text of at most this length; item by item for anything else.
_SHORT = 100


class Refused(Exception):
    """An operation that is refused for these values; the message says which operation, and why."""


class _Budget(threading.local):
    """What this thread has left. `shared` while several evaluations take from one budget."""

    made = MADE
    memory = MEMORY_BYTES
    slice = _SLICE
    slices = 0
    cpu_milliseconds = CPU_MILLISECONDS
    until: float | None = None
    shared = False
    # How to take the turn (actions.expressions.turns) and to give it back; and whether it was taken.
    turn: tuple[Callable[[], None], Callable[[], None]] | None = None
    is_taken = False


_budget = _Budget()


def let_others_go_first(turn: tuple[Callable[[], None], Callable[[], None]] | None) -> None:
    """Call the first before each slice of work but the first of this thread's evaluations, the second after them."""
    _budget.turn, _budget.is_taken = turn, False


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
        end()


def end() -> None:
    """Let other threads compute: an evaluation has ended. Inside `shared` others may follow it."""
    if _budget.turn is not None and _budget.is_taken and not _budget.shared:
        _budget.is_taken = False
        _budget.turn[1]()


def begin_item() -> None:
    """Give the next item of a list its own memory, inside `shared`: what the items before it took is free again."""
    _budget.memory = MEMORY_BYTES


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
    if _budget.turn is not None:
        _budget.is_taken = True
        _budget.turn[0]()
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


def made(text: str) -> str:
    """Charge a string that was just built, and return it."""
    charge(len(text))
    return text


def kind(value: Any) -> str:
    """The JSON name of a value's type, for messages."""
    if value is None:
        return "null"
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a text", list: "a list"}
    return names.get(type(value), "an object")


def text_of(value: Any, *, what: str) -> str:
    if not isinstance(value, str):
        raise Refused(f"{what} needs a text, not {kind(value)}")
    return value


def items_of(value: Any, *, what: str) -> list[Any]:
    """Return the items of a list or the keys of an object. Charged, because callers iterate over them."""
    if not isinstance(value, (list, tuple, dict)):
        raise Refused(f"{what} needs a list, not {kind(value)}")
    charge(len(value))
    return list(value)


def keys_of(path: Any) -> list[str]:
    """Return the keys of a dotted path such as `a.b.0`; a whole number is a position. Split once for all items."""
    if isinstance(path, bool) or not isinstance(path, (str, int)):
        raise Refused(f"attribute needs a dotted path, not {kind(path)}")
    text = str(path)
    charge(len(text))
    hold(TEXT_BYTES * (1 + text.count(".")))
    return text.split(".")


def pluck(value: Any, keys: Sequence[str]) -> Any:
    """Return the value at these keys in an item; null if it is missing, so that one such item fails no list."""
    for key in keys:
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list) and key.isdecimal() and len(key) < 10 and int(key) < len(value):
            value = value[int(key)]
        else:
            return None
    return value


def plucked(value: Any, attribute: Any, *, what: str) -> list[Any]:
    """Return the items of a list, or the values at a path of them."""
    items = items_of(value, what=what)
    if attribute is None:
        return items
    keys = keys_of(attribute)
    return [pluck(item, keys) for item in each(items)]


def number_of(value: Any, *, what: str) -> int | float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Refused(f"{what} needs a number, not {kind(value)}")
    return value


def whole_of(value: Any, *, what: str) -> int:
    number = number_of(value, what=what)
    if number != int(number):
        raise Refused(f"{what} needs a whole number, not {number}")
    return int(number)


def bounded(number: int | float) -> int | float:
    if isinstance(number, complex) or not math.isfinite(number):
        raise Refused("gives no number")
    if isinstance(number, int) and not -_INT_LIMIT <= number < _INT_LIMIT:
        raise Refused("gives a number beyond 64 bits")
    return number


def as_text(value: Any) -> str:
    """Return a string as it is, any other value as JSON."""
    if isinstance(value, str):
        return value
    if type(value) is int:
        return str(value)
    weigh(value)
    return orjson.dumps(value).decode()


def weigh(value: Any) -> None:
    """Charge the size of a value before it is serialised, so that a large one is refused before memory is used."""
    pending = [value]
    while pending:
        part = pending.pop()
        if isinstance(part, str):
            charge(len(part))
        elif isinstance(part, (list, tuple, dict)):
            # Before they are pending, because that takes memory too.
            charge(1 + len(part))
            if isinstance(part, dict):
                pending.extend(part)
                pending.extend(part.values())
            else:
                pending.extend(part)


def same(left: Any, right: Any) -> bool:
    """Whether two values are equal. Counts what it compares, and looks no further than to the first difference."""
    if not isinstance(left, (list, tuple, dict)):
        return left is right or not _different(left, right)
    pending: list[Iterator[tuple[Any, Any]]] = [iter([(left, right)])]
    while pending:
        for one, other in pending[-1]:
            if one is other:
                continue
            if _different(one, other):
                return False
            if isinstance(one, (list, tuple, dict)):
                pending.append(_pairs(one, other))
                break
        else:
            pending.pop()
    return True


def _different(one: Any, other: Any) -> bool:
    """Whether two values differ; of lists and objects only the length and the keys are compared."""
    if isinstance(one, dict) and isinstance(other, dict):
        work(1 + len(one))
        return one.keys() != other.keys()
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        work(1)
        return len(one) != len(other)
    if isinstance(one, str) and isinstance(other, str) and len(one) == len(other):
        work(len(one))
    work(1)
    return bool(one != other)


def _pairs(one: Any, other: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(one, dict):
        return ((item, other[key]) for key, item in one.items())
    return zip(one, other, strict=True)


def occurs(piece: str, text: str) -> bool:
    """Whether the text contains the piece."""
    if len(piece) > len(text):
        return False
    for at in range(0, max(1, len(text)), _WINDOW):
        end = min(len(text), at + _WINDOW + len(piece))
        work(1 + end - at)
        if text.find(piece, at, end) >= 0:
            return True
    return False


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def less(left: Any, right: Any) -> bool:
    comparable = _is_number(left) and _is_number(right)
    if not comparable and not (isinstance(left, str) and isinstance(right, str)):
        raise Refused(f"cannot order {kind(left)} and {kind(right)}")
    work(min(len(left), len(right)) if isinstance(left, str) else 1)
    return bool(left < right)


def _remainder(value: Any, divisor: Any) -> int:
    if not divisor:
        raise Refused("divides by zero")
    return whole_of(value, what="divisibleby") % whole_of(divisor, what="divisibleby")


def _contains(value: Any, container: Any) -> bool:
    if isinstance(container, str):
        return isinstance(value, (str, int, float)) and occurs(as_text(value), container)
    if isinstance(container, dict):
        return isinstance(value, str) and value in container
    if not isinstance(container, (list, tuple)):
        raise Refused(f"in needs a list, an object or a text, not {kind(container)}")
    if isinstance(value, (list, tuple, dict)) or (isinstance(value, str) and len(value) > _SHORT):
        return any(same(value, item) for item in each(container))
    work(len(container))
    return value in container


def _starts(value: Any, head: Any) -> bool:
    text, wanted = text_of(value, what="startingwith"), text_of(head, what="startingwith")
    work(len(wanted))
    return text.startswith(wanted)


def _ends(value: Any, end: Any) -> bool:
    text, wanted = text_of(value, what="endingwith"), text_of(end, what="endingwith")
    work(len(wanted))
    return text.endswith(wanted)


TESTS: dict[str, Callable[..., bool]] = {
    "boolean": lambda value: isinstance(value, bool),
    "divisibleby": lambda value, by: _remainder(value, by) == 0,
    "endingwith": _ends,
    "eq": same,
    "equalto": same,
    "even": lambda value: _remainder(value, 2) == 0,
    "false": lambda value: value is False,
    "float": lambda value: isinstance(value, float),
    "ge": lambda left, right: not less(left, right),
    "gt": lambda left, right: less(right, left),
    "in": _contains,
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "le": lambda left, right: not less(right, left),
    "lt": less,
    "mapping": lambda value: isinstance(value, dict),
    "ne": lambda left, right: not same(left, right),
    "none": lambda value: value is None,
    "number": _is_number,
    "odd": lambda value: _remainder(value, 2) == 1,
    "sequence": lambda value: isinstance(value, (list, tuple)),
    "startingwith": _starts,
    "string": lambda value: isinstance(value, str),
    "true": lambda value: value is True,
}
