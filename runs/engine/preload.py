"""What the start of a run knows travels with the run's first knock, so that nobody asks the database for it again.

Whoever loses nothing by it takes it for loaded: a pure link, whose record asks for the very ticket and loses otherwise.
A knock that is sent again says nothing of the kind, and neither does one that would grow large by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from time import monotonic
from types import MappingProxyType, SimpleNamespace
from typing import Any

import orjson
from django.conf import settings

from runs.domain.outcomes import Key
from runs.domain.requests import Due, Preloaded
from runs.engine.work import Clock
from runs.queries.database import Row

NONE: Mapping[Key, Preloaded] = MappingProxyType({})

# For so long a process goes by what the database last said of its clock. These times are told, never decided by:
# a step that waits for a moment is not told of (runs.dispatch.dispatcher).
_CLOCK_SECONDS = 10.0
_clock_seen = SimpleNamespace(clock=None, at=0.0)


def pack(message: Sequence[Due]) -> str:
    """What the knock says of its runs, as JSON: [[ticket, started_at, input as text], ...]. Empty for nothing."""
    told = [due.preloaded for due in message if due.preloaded is not None]
    # Again, for the database may write numbers in more words than the start did.
    if len(told) < len(message) or not short([one.input for one in told]):
        return ""
    return orjson.dumps([[*one] for one in told]).decode()


def unpack(keys: Sequence[Key], told: Sequence[Any]) -> Mapping[Key, Preloaded]:
    """By key; none of them where it does not fit the keys, for then all of them are loaded."""
    if len(told) != len(keys):
        return NONE
    found = {}
    for key, one in zip(keys, told, strict=True):
        try:
            ticket, started_at, given = one
        except (TypeError, ValueError):
            return NONE
        if not (isinstance(ticket, int) and isinstance(started_at, float) and isinstance(given, str)):
            return NONE
        found[key] = Preloaded(ticket, started_at, given)
    return found


def loaded(keys: Sequence[Key], preloaded: Mapping[Key, Preloaded]) -> list[Row] | None:
    """Rows as runs.queries.claims.LOAD answers them; None where the database must be asked."""
    if not preloaded or _clock_seen.clock is None or monotonic() > _clock_seen.at + _CLOCK_SECONDS:
        return None
    now = _clock_seen.clock.now().timestamp()
    rows: list[Row] = []
    for key in keys:
        if (one := preloaded.get(key)) is None:
            return None
        now = max(now, one.started_at)
        rows.append((*key, one.input, one.started_at, 1, None, now, None, False, one.ticket, False, None, None, None))
    return rows


def remember_clock(found: Sequence[Row]) -> None:
    """Take note of the database's clock in what it has just answered to LOAD."""
    if found:
        _clock_seen.clock, _clock_seen.at = Clock(at=datetime.fromtimestamp(found[-1][6], UTC)), monotonic()


# What a message says of a run besides its input, in bytes.
_EACH_BYTES = 50


def short(inputs: Sequence[str]) -> bool:
    """Whether a first knock may bring these inputs along: KNOCK_INPUT_BYTES, with 50 for each."""
    most = settings.KNOCK_INPUT_BYTES - _EACH_BYTES * len(inputs)
    return sum(map(len, inputs)) <= most and sum(len(text.encode()) for text in inputs) <= most
