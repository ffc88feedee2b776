"""How an evaluation that takes long lets those of other threads go first, where a process has many threads for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from actions.expressions.values import let_others_go_first


class Turn(Protocol):
    """What decides when this thread may compute. Both methods are called in this thread."""

    def take(self) -> None:
        """Return when this thread may compute, for a moment. Called before each slice of work but the first."""

    def give_back(self) -> None:
        """Called when an evaluation that called `take` has ended."""


@contextmanager
def in_turn(turn: Turn) -> Iterator[None]:
    """Let evaluations of this thread inside the block take turns with others."""
    let_others_go_first((turn.take, turn.give_back))
    try:
        yield
    finally:
        let_others_go_first(None)
