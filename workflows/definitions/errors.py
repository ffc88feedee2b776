"""The errors of a definition or a run's input: each problem has a path, a message, and the line if it is known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from actions import nearest as near


@dataclass(frozen=True)
class Problem:
    """One fault. `path` is like `steps[2].retry.max_attempts`; '' is the whole document."""

    path: str
    message: str
    line: int | None = None

    def __str__(self) -> str:
        where = self.path or "document"
        return f"{where} (line {self.line}): {self.message}" if self.line else f"{where}: {self.message}"


class DefinitionError(Exception):
    """A definition was refused. It has every problem that was found; nothing was stored."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


class InvalidInput(Exception):
    """A run's input does not match the version's `inputs` schema; the problems' paths begin with `input`."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


def refuse(path: str, message: str) -> DefinitionError:
    """Return, not raise, the error for a single problem."""
    return DefinitionError([Problem(path, message)])


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a hint to append to a message: the known word most similar to a wrong one, or all if at most 20."""
    choices: Sequence[str] = sorted(known)
    # difflib compares the word with each choice: too slow for 10,000 step ids in each of 10,000 messages.
    if len(choices) <= 500 and (hint := near.nearest(word, choices)):
        return hint
    return f"; known are {', '.join(choices)}" if 0 < len(choices) <= 20 else ""


def join_path(path: str, *parts: str | int) -> str:
    """Append parts to a path: `steps[2]` with `with`, `url` gives `steps[2].with.url`."""
    for part in parts:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path
