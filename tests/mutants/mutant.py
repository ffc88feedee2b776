"""What a mutant is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """Replacing `old`, which occurs exactly once in `file`, by `new` breaks the `promise`."""

    name: str
    promise: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
