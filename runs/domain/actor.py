"""Who does something to a run, and why."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Actor:
    """Who does it and why. `user_id` is None for a command on the server."""

    user_id: int | None = None
    reason: str = ""
