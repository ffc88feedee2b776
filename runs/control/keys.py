"""Idempotency keys that are known, but with another input: an error where a person or a program starts something."""

from __future__ import annotations

from collections.abc import Sequence

from runs.domain.requests import Conflict, Started


class KeyTaken(Exception):
    """The idempotency key belongs to a run or a signal with another input. Nothing was started or sent."""

    def __init__(self, key: str | None, conflict: Conflict) -> None:
        first = f"{conflict.what} {conflict.id} has the hash {conflict.first}, this request {conflict.given}"
        way_out = f"use another key, or send on_conflict: return to get that {conflict.what}"
        super().__init__(f"the idempotency key {key!r} is known with another input: {first}; {way_out}")
        self.conflict = conflict


def only(started: Sequence[Started], *, key: str | None) -> Started:
    """Return the result of a single start. Raises KeyTaken."""
    [one] = started
    if one.conflict is not None:
        raise KeyTaken(key, one.conflict)
    return one
