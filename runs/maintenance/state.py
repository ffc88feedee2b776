"""Delete state that has expired. Steps do not see it any more; this only makes room."""

from __future__ import annotations

from runs.queries.database import run
from runs.queries.state import FORGET_STATE

# Rows that one statement deletes, and statements of one round.
BATCH, MOST_BATCHES = 1000, 100


def forget_expired() -> int:
    """Delete expired keys, and return how many they were. Safe in several processes at once."""
    count = 0
    for _ in range(MOST_BATCHES):
        [(gone,)] = run(FORGET_STATE, most=BATCH)
        count += gone
        if gone < BATCH:
            break
    return count
