"""Durations, JSON, errors and pauses as people read them, on one line."""

from __future__ import annotations

from datetime import datetime

import orjson

from actions.base import Json
from runs.control.pauses import Paused
from runs.domain.states import Pause


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
    return printable(f"{line}: {held.reason}" if held.reason else line)
