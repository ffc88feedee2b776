"""Format durations, JSON values, errors and pauses for people, each on one line."""

from __future__ import annotations

from datetime import datetime

import orjson

from actions.base import Json
from runs.control.pauses import Paused
from runs.domain.states import Pause


def duration(started_at: datetime | None, finished_at: datetime | None) -> str:
    """Return `3 ms`, `1.24 s`, `2 min 5 s` or `3 h 4 min`; a dash if there is no beginning or no end yet."""
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
    """Return the value as JSON on one line, without characters that would control a terminal."""
    return printable(orjson.dumps(value).decode())


def printable(text: str) -> str:
    """Return the text with control and format characters replaced by \\u escapes."""
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)


def error_line(error: Json) -> str:
    """Return an error's kind and message on one line.

    The messages of a failed compensation and of a terminate, if the error has them, are added.
    """
    if not isinstance(error, dict):
        return json_line(error)
    kind, message = error.get("kind"), error.get("message")
    parts = [f"{kind}: {message}" if kind else str(message)]
    others = [error.get(key) for key in ("compensation", "terminated")]
    parts += [str(other["message"]) for other in others if isinstance(other, dict) and other.get("message") != message]
    return printable("; ".join(parts))


def pause_line(held: Paused) -> str:
    """Return a line such as `paused since 2026-11-21 14:30:00 UTC by ada: the shop is closed`."""
    through = "its workflow is paused" if held.through is Pause.WORKFLOW else "paused"
    line = f"{through} since {held.since:%Y-%m-%d %H:%M:%S} UTC by {held.by or 'a command'}"
    return printable(f"{line}: {held.reason}" if held.reason else line)
