"""Write a run's timeline as lines for a terminal: step, state, attempt, duration, output or error."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime

import orjson

from actions.base import Json
from runs.control.pauses import Paused
from runs.domain.states import Pause
from runs.history.timeline import StepView

HEADINGS = ("STEP", "STATE", "TRY", "DURATION", "OUTPUT")
_MIN_OUTPUT_WIDTH = 20
_CUT = "..."


def lines(views: Iterable[StepView], *, width: int) -> list[str]:
    """One line for each step under a line of headings, columns aligned, none wider than `width` if it can be."""
    rows = [HEADINGS, *(_row(view) for view in views)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS) - 1)]
    room = max(_MIN_OUTPUT_WIDTH, width - sum(widths) - 2 * len(widths))
    return [_line(row, widths=widths, room=room) for row in rows]


def duration(started_at: datetime | None, finished_at: datetime | None) -> str:
    """`3 ms`, `1.24 s`, `2 min 5 s`, `3 h 4 min`; a dash where it has not ended."""
    if started_at is None or finished_at is None:
        return "-"
    seconds = max(0.0, (finished_at - started_at).total_seconds())
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.2f} s"
    minutes = int(seconds // 60)
    return f"{minutes} min {int(seconds % 60)} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def json_line(value: Json) -> str:
    """The value on one line, nothing in it that a terminal would obey."""
    return printable(orjson.dumps(value).decode())


def printable(text: str) -> str:
    """The text with control and format characters written out as \\u escapes."""
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)


def error_line(error: Json) -> str:
    """An error's kind and message on one line, and what else is to be known of how its run ended."""
    if not isinstance(error, dict):
        return json_line(error)
    kind, message = error.get("kind"), error.get("message")
    parts = [f"{kind}: {message}" if kind else str(message)]
    more = [error.get(key) for key in ("compensation", "terminated")]
    parts += [str(told["message"]) for told in more if isinstance(told, dict) and told.get("message") != message]
    return printable("; ".join(parts))


def pause_line(held: Paused) -> str:
    """`paused since 2026-11-21 14:30:00 UTC by ada: the shop is closed`."""
    through = "its workflow is paused" if held.through is Pause.WORKFLOW else "paused"
    line = f"{through} since {held.since:%Y-%m-%d %H:%M:%S} UTC by {held.by or 'a command'}"
    return printable(f"{line}: {held.why}" if held.why else line)


def _row(view: StepView) -> tuple[str, ...]:
    told = ""
    if view.error is not None and view.state != "succeeded":
        told = error_line(view.error)
    elif view.output is not None:
        told = json_line(view.output)
    tried = str(view.attempt) if view.attempt else "-"
    return view.step, view.state, tried, duration(view.started_at, view.finished_at), told


def _line(row: Sequence[str], *, widths: Sequence[int], room: int) -> str:
    cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
    return "  ".join([*cells, _fit(row[-1], room=room)]).rstrip()


def _fit(text: str, *, room: int) -> str:
    """The text cut to so many columns; East Asian characters take two."""
    used = 0
    for index, character in enumerate(text):
        used += 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if used > room:
            return text[: max(0, index - len(_CUT))] + _CUT
    return text
