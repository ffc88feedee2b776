"""The errors of a definition or a run's input: each problem has a path, a message, and the line if it is known."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from actions import nearest as near
from actions.paths import join as join_path

__all__ = [
    "DefinitionError",
    "Found",
    "FoundEnough",
    "InputNotChecked",
    "InvalidInput",
    "Problem",
    "first",
    "join_path",
    "nearest",
    "refuse",
]

# The search for problems of a definition ends after so many, or with the first that is found after a second of
# processor time: to find and describe all of 10,000 took 42 s.
MOST_PROBLEMS = 100
MOST_SECONDS = 1.0


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


class InputNotChecked(InvalidInput):
    """A run's input was not checked, because too many others wait to be; it may be sent again."""


class FoundEnough(Exception):
    """The search for problems ends here."""


class Found(list[Problem]):
    """The problems that were found so far."""

    def __init__(self) -> None:
        super().__init__()
        self._began = time.thread_time()

    def add(self, problem: Problem) -> None:
        """Add a problem. Raises FoundEnough after 100, or after a second of the thread's processor time."""
        self.append(problem)
        if len(self) >= MOST_PROBLEMS:
            self._end(f"these are the first {MOST_PROBLEMS} problems; mend them and send it again for the rest")
        elif time.thread_time() - self._began > MOST_SECONDS:
            self._end(
                f"the search for problems ended after {MOST_SECONDS:g} s; mend these and send it again for the rest"
            )

    def _end(self, message: str) -> None:
        self.append(Problem("", message))
        raise FoundEnough


def first(problems: Iterable[Problem]) -> list[Problem]:
    """Return the first 100 of these problems, or those that are found within a second of processor time."""
    found = Found()
    try:
        for problem in problems:
            found.add(problem)
    except FoundEnough:
        pass
    return found


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
