"""Say what is wrong with a definition or a run's input: where, on which line, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from actions import nearest as near


@dataclass(frozen=True)
class Problem:
    """One fault. `path` is written as in `steps[2].retry.max_attempts` ('' is the whole document)."""

    path: str
    message: str
    line: int | None = None

    def __str__(self) -> str:
        where = self.path or "document"
        return f"{where} (line {self.line}): {self.message}" if self.line else f"{where}: {self.message}"


class DefinitionError(Exception):
    """A definition that is refused, with every problem that was found; nothing was stored."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


class InvalidInput(Exception):
    """A run's input that the version's `inputs` schema refuses; paths begin with `input`."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


def refuse(path: str, message: str) -> DefinitionError:
    """The error for a single problem, to be raised."""
    return DefinitionError([Problem(path, message)])


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint to be put behind a message: the known word nearest to a wrong one, or the known ones if few."""
    choices: Sequence[str] = sorted(known)
    # difflib compares every pair: too slow for 10,000 step ids times as many faults.
    if len(choices) <= 500 and (hint := near.nearest(word, choices)):
        return hint
    return f"; known are {', '.join(choices)}" if 0 < len(choices) <= 20 else ""


def join_path(path: str, *parts: str | int) -> str:
    """`steps[2]` and `with`, `url` -> `steps[2].with.url`."""
    for part in parts:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path
