"""Words for messages: the nearest known name, and long texts cut short."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or nothing when no known word is near."""
    matches = get_close_matches(word[:100], list(known), n=1)
    return f"; did you mean {matches[0]!r}?" if matches else ""


def shortened(text: str, *, limit: int = 120) -> str:
    """The text on one line, cut in the middle when it is longer than `limit`."""
    line = " ".join(text.split())
    return line if len(line) <= limit else f"{line[: limit * 2 // 3]} ... {line[-limit // 4 :]}"
