"""Log lines of steps: gathered in memory, and written in sets by the journal (runs.engine.journal)."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final, NamedTuple

import orjson
from django.db import Error, InterfaceError, OperationalError

from actions import payload
from actions.base import ActionError, Json
from actions.moments import iso
from runs.domain.outcomes import StepKey
from runs.queries.database import columns, run
from runs.queries.step_logs import APPEND_LOGS, MOST_BYTES, MOST_LINES

log = logging.getLogger(__name__)

LEVELS: Final = ("debug", "info", "warning", "error")
# Characters of a message, and bytes of its fields, that are kept.
MOST_MESSAGE = 4_000
MOST_FIELDS = 8_000
# Steps with lines in memory; more than that only come together while the database is away.
_MOST_STEPS = 2_000
_PER_STATEMENT = 100


# Takes the secrets of an attempt out of a value.
Hide = Callable[[Json], Json]


class Line(NamedTuple):
    """One line of a step's log."""

    at: datetime
    attempt: int
    level: str
    message: str
    fields: Mapping[str, object]


class _Lines:
    """Lines of one step that are still to be written, as JSON, and how many more there were."""

    __slots__ = ("dropped", "lines", "size")

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.size = 0
        self.dropped = 0

    def add(self, line: str) -> None:
        size = len(line.encode())
        if self.dropped or len(self.lines) >= MOST_LINES or self.size + size > MOST_BYTES:
            self.dropped += 1
        else:
            self.lines.append(line)
            self.size += size


_lock = threading.Lock()
_waiting: dict[StepKey, _Lines] = {}
# Steps whose log is full: of them lines are only counted.
_full: dict[StepKey, None] = {}
_lost = 0
# Whether a set of lines is on its way to the database.
_writing = False


def add(key: StepKey, line: Line, *, hide: Hide) -> None:
    """Keep a line, as `hide` leaves it, until it is written. It costs no statement.

    Raises ValueError for a level that is none.
    """
    global _lost  # noqa: PLW0603 - one count per process
    if line.level not in LEVELS:
        raise ValueError(f"the level of a log line is {str(line.level)[:40]!r}; use one of {', '.join(LEVELS)}")
    text = "" if key in _full else _json(line, hide)
    with _lock:
        if (waiting := _waiting.get(key)) is None:
            if len(_waiting) >= _MOST_STEPS:
                _lost += 1
                return
            waiting = _waiting[key] = _Lines()
        if text:
            waiting.add(text)
        else:
            waiting.dropped += 1


def waits(key: StepKey | None = None) -> bool:
    """Whether lines of this step, or of any, are still to be written."""
    return _writing or bool(_waiting) if key is None else key in _waiting


def write() -> None:
    """Write what is kept, in sets. If the database is away, it stays kept, up to the bounds of each step."""
    global _lost, _writing  # noqa: PLW0603 - as above
    with _lock:
        found = sorted(_waiting.items())
        _waiting.clear()
        lost, _lost, _writing = _lost, 0, bool(found)
    if lost:
        log.warning("step_log_lines_lost", extra={"count": lost})
    try:
        _write(found)
    finally:
        _writing = False


def _write(found: list[tuple[StepKey, _Lines]]) -> None:
    for first in range(0, len(found), _PER_STATEMENT):
        part = found[first : first + _PER_STATEMENT]
        try:
            _append(part)
        except (OperationalError, InterfaceError):
            _put_back(found[first:])
            raise
        except Error as error:  # what PostgreSQL refuses once it refuses again
            log.warning("step_log_refused", extra={"count": len(part), "error": str(error)})


def forget() -> None:
    """Forget what is kept, as a process that was just forked: its parent writes it."""
    global _lock, _writing
    _lock, _writing = threading.Lock(), False
    _waiting.clear()
    _full.clear()


def _append(part: list[tuple[StepKey, _Lines]]) -> None:
    rows = [(*key, f"[{','.join(one.lines)}]", one.dropped) for key, one in part]
    names = ("runs", "steps", "items", "lines", "dropped")
    for run_id, step, item, full in run(APPEND_LOGS, **dict(zip(names, columns(rows, len(names)), strict=True))):
        if full:
            if len(_full) >= _MOST_STEPS:
                _full.clear()
            _full[run_id, step, item] = None


def _put_back(left: list[tuple[StepKey, _Lines]]) -> None:
    with _lock:
        for key, one in left:
            newer = _waiting.pop(key, _Lines())
            for line in newer.lines:
                one.add(line)
            one.dropped += newer.dropped
            _waiting[key] = one


def _json(line: Line, hide: Hide) -> str:
    text = str(hide(line.message if isinstance(line.message, str) else str(line.message)))
    if len(text) > MOST_MESSAGE:
        text = f"{text[:MOST_MESSAGE]} ... ({len(text):,} characters)"
    message = payload.clean(text)
    told: dict[str, Json] = {"at": iso(line.at), "attempt": line.attempt, "level": line.level, "message": message}
    if line.fields:
        told["fields"] = hide(_fields(line.fields))
    return orjson.dumps(told).decode()


def _fields(fields: Mapping[str, object]) -> Json:
    """Return the fields as JSON; a value that is none as text. Fields that are too long are told by their names."""
    found: dict[str, Json] = {}
    for key, value in fields.items():
        try:
            found[str(payload.clean(key))] = payload.clean(value)
        except ActionError:
            found[str(payload.clean(key))] = payload.clean(str(value)[:MOST_MESSAGE])
    if len(orjson.dumps(found)) > MOST_FIELDS:
        return {"left_out": f"longer than {MOST_FIELDS:,} bytes: {', '.join(found)[:500]}"}
    return found
