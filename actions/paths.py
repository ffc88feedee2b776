"""Places inside a JSON value: walk over a value, and write a path only for the part that is wrong.

A path written for every part would cost the length of its keys times the number of parts: one key of 100 kB above
20,000 items made 2 GB of text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

# Characters of a key that a path shows.
SHOWN = 40


def cut(key: object) -> str:
    """Return a key as a path shows it: its first 40 characters, and `...` if it is longer."""
    text = key if isinstance(key, str) else str(key)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def join(path: str, *parts: str | int) -> str:
    """Append parts to a path: `steps[2]` with `with`, `url` gives `steps[2].with.url`."""
    for part in parts:
        path += f"[{part}]" if isinstance(part, int) else f".{cut(part)}" if path else cut(part)
    return path


def walk(value: Any) -> Iterator[tuple[Sequence[Any], Any]]:
    """Yield (trail, part) of the value and of each value inside it, in document order.

    The trail has the keys and indexes that lead to the part. It is one list, which changes as the walk goes on. A
    consumer that stops bounds the depth: the walk keeps one iterator for each open level, and nothing for each part.
    """
    trail: list[Any] = []
    yield trail, value
    levels = [_entries(value)]
    while levels:
        entry = next(levels[-1], None)
        if entry is None:
            levels.pop()
            if trail:
                trail.pop()
            continue
        trail.append(entry[0])
        yield trail, entry[1]
        if isinstance(entry[1], (dict, list, tuple)):
            levels.append(_entries(entry[1]))
        else:
            trail.pop()


def _entries(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, dict):
        return iter(value.items())
    return iter(enumerate(value)) if isinstance(value, (list, tuple)) else iter(())
