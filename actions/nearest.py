"""Helpers for messages: suggest the most similar known name, and shorten long texts."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(word: str, known: Iterable[str], *, similarity: float = 0.6) -> str:
    """Return `; did you mean 'x'?`, or an empty string when no known word is similar, from 0 to 1."""
    matches = get_close_matches(word[:100], list(known), n=1, cutoff=similarity)
    return f"; did you mean {matches[0]!r}?" if matches else ""


def shortened(text: str, *, limit: int = 120) -> str:
    """Return the text on one line; the middle is cut out when it is longer than about `limit` characters."""
    if len(text) > 20 * limit:
        # A text of millions of words would take hundreds of megabytes in parts.
        text = f"{text[: 10 * limit]} ... {text[-10 * limit :]}"
    line = " ".join(text.split())
    return line if len(line) <= limit else f"{line[: limit * 2 // 3]} ... {line[-limit // 4 :]}"
