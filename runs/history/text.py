"""Format a run's timeline as a table for a terminal: step, state, attempt, duration, output or error."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

from runs.history.timeline import StepView
from runs.history.words import duration, error_line, json_line

HEADINGS = ("STEP", "STATE", "TRY", "DURATION", "OUTPUT")
_MIN_OUTPUT_WIDTH = 20
_CUT = "..."


def lines(views: Iterable[StepView], *, width: int) -> list[str]:
    """Return a line of headings and one line per step, in aligned columns.

    The last column is cut so that lines fit into `width`, but it keeps at least 20 columns.
    """
    rows = [HEADINGS, *(_row(view) for view in views)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS) - 1)]
    room = max(_MIN_OUTPUT_WIDTH, width - sum(widths) - 2 * len(widths))
    return [_line(row, widths=widths, room=room) for row in rows]


def _row(view: StepView) -> tuple[str, ...]:
    result = ""
    if view.error is not None and view.state != "succeeded":
        result = error_line(view.error)
    elif view.output is not None:
        result = json_line(view.output)
    elif view.progress is not None:
        result = view.progress.text()
    attempt = str(view.attempt) if view.attempt else "-"
    return view.step, view.state, attempt, duration(view.started_at, view.finished_at), result


def _line(row: Sequence[str], *, widths: Sequence[int], room: int) -> str:
    cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
    return "  ".join([*cells, _fit(row[-1], room=room)]).rstrip()


def _fit(text: str, *, room: int) -> str:
    """Cut the text to `room` columns; wide East Asian characters take two columns."""
    used = 0
    for index, character in enumerate(text):
        used += 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if used > room:
            return text[: max(0, index - len(_CUT))] + _CUT
    return text
