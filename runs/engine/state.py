"""Read and change state, values under keys that runs share, in the transaction that records the step."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.conf import settings

from actions import payload
from actions.base import Json, Permanent
from actions.database import StateChange, StateEntry
from actions.expressions.library import decimals
from actions.expressions.values import Refused, bounded, kind, same
from actions.moments import iso
from runs.queries import state, values
from runs.queries.database import run

# Characters of one value as JSON.
MAX_VALUE = 65_536
# How often a key is looked for again that another run inserted and deleted at the same moment.
_TRIES = 5


class Place(NamedTuple):
    """A key of the run's workflow (`own`), or else of its workspace."""

    run: UUID
    key: str
    own: bool


class _Row(NamedTuple):
    id: int
    entry: StateEntry
    expired: bool


def read(place: Place) -> StateEntry | None:
    """Return what is stored under the key; None if nothing is, or if it has expired. Nothing is locked."""
    row = _row(place, lock=False)
    return None if row is None or row.expired else row.entry


def change(place: Place, wanted: StateChange) -> tuple[bool, StateEntry | None, StateEntry | None]:
    """Lock the key and change it; return whether it was changed, what was there before, and what is there now."""
    text = _written(place, wanted.value)
    for _ in range(_TRIES):
        row = _row(place, lock=True)
        before = None if row is None or row.expired else row.entry
        if not _meets(before, wanted):
            return False, before, before
        if wanted.delete:
            if row is not None:
                run(state.DELETE_STATE, id=row.id)
            return True, before, None
        if row is not None:
            [(version, expires_at)] = run(
                state.UPDATE_STATE, id=row.id, value=text, ttl=wanted.ttl_seconds, keeps=False
            )
            return True, before, StateEntry(wanted.value, version, _moment(expires_at))
        if (entry := _insert(place, wanted.value, text, ttl_seconds=wanted.ttl_seconds)) is not None:
            return True, None, entry
    raise _full(place)


def increment(place: Place, by: int | float, *, ttl_seconds: float | None) -> tuple[int | float, StateEntry]:
    """Lock the key and add to its number; return the number before, 0 if there is none, and the entry now."""
    for _ in range(_TRIES):
        row = _row(place, lock=True)
        before = 0 if row is None or row.expired else row.entry.value
        if isinstance(before, bool) or not isinstance(before, (int, float)):
            found = f"the key {place.key[:60]!r} has {kind(before)}, not a number"
            raise Permanent(f"state_increment: {found}; set it to one first", kind="conflict")
        value = _sum(place, before, by)
        text = values.dumps(value)
        if row is not None:
            keeps = not row.expired
            [(version, expires_at)] = run(state.UPDATE_STATE, id=row.id, value=text, ttl=ttl_seconds, keeps=keeps)
            return before, StateEntry(value, version, _moment(expires_at))
        if (entry := _insert(place, value, text, ttl_seconds=ttl_seconds)) is not None:
            return before, entry
    raise _full(place)


def _row(place: Place, *, lock: bool) -> _Row | None:
    statement = state.LOCK_STATE if lock else state.READ_STATE
    for row_id, text, version, expires_at, expired in run(statement, **place._asdict()):
        return _Row(row_id, StateEntry(values.loads(text), version, _moment(expires_at)), expired)
    return None


def _insert(place: Place, value: Json, text: str, *, ttl_seconds: float | None) -> StateEntry | None:
    """Insert the key; return None if it is there meanwhile, or if the workspace has too many keys."""
    most = settings.STATE_KEYS_PER_WORKSPACE
    for version, expires_at in run(state.INSERT_STATE, **place._asdict(), value=text, ttl=ttl_seconds, most=most):
        return StateEntry(value, version, _moment(expires_at))
    return None


def _moment(at: datetime | None) -> str | None:
    return None if at is None else iso(at)


def _meets(before: StateEntry | None, wanted: StateChange) -> bool:
    """Whether what is there is what the change asks for."""
    if wanted.if_version is not None:
        return wanted.if_version == (before.version if before is not None else 0)
    if wanted.if_value is None:
        return True
    [value] = wanted.if_value
    if before is None or isinstance(before.value, bool) is not isinstance(value, bool):
        return False  # to Python, true and 1 are equal
    return same(before.value, value)


def _sum(place: Place, before: int | float, by: int | float) -> int | float:
    try:
        total = decimals.added(decimals.exact(before, what="state_increment"), by, what="state_increment")
        return bounded(int(total)) if isinstance(before, int) and isinstance(by, int) else float(total)
    except Refused as error:
        raise Permanent(f"state_increment: the key {place.key[:60]!r}: {error}", kind="number") from None


def _written(place: Place, value: Json) -> str:
    if payload.size(value, limit=MAX_VALUE) <= MAX_VALUE and len(text := values.dumps(value)) <= MAX_VALUE:
        return text
    most = f"more than {MAX_VALUE:,} characters as JSON, which is the limit"
    raise Permanent(f"state_set: the value for the key {place.key[:60]!r} has {most}; store less", kind="size")


def _full(place: Place) -> Permanent:
    most = f"{settings.STATE_KEYS_PER_WORKSPACE:,} keys, which is the limit (STATE_KEYS_PER_WORKSPACE)"
    hint = "delete some with state_set, or give them a ttl"
    return Permanent(f"the key {place.key[:60]!r} was not stored: the workspace has {most}; {hint}", kind="full")
