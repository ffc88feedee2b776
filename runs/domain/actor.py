"""The actor of a verb: who cancels, pauses or retries a run, and for which reason."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Actor:
    """The user who calls a verb, and the reason given. `user_id` is None for a command on the server."""

    user_id: int | None = None
    reason: str = ""
