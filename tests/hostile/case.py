"""A hostile input, and the bound that it may not exceed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

# A bound above these needs a reason.
MILLISECONDS = 2000
MEGABYTES = 100


@dataclass(frozen=True)
class Case:
    """One attack. `attack` is called in a child process in which Django is set up, without a database.

    It returns None if the defence held: the input was refused, or handled, as it should be; otherwise it returns what
    got through. It may use `milliseconds` of the process's CPU time, and `megabytes` of memory beyond what the process
    had before. `kind` is the class of attacks that the case belongs to, as in docs/security.md.
    """

    name: str
    kind: str
    attack: Callable[[], str | None]
    milliseconds: int = MILLISECONDS
    megabytes: int = MEGABYTES
    reason: str = ""
