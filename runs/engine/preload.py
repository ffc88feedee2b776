"""Preload: a run's first message carries the ticket and the input, so that the worker need not load them.

Only inline links use this. It cannot do harm there, because their record deletes exactly this ticket or else writes
nothing. Repeated messages carry no preload, nor do messages that would become large by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from time import monotonic
from types import MappingProxyType, SimpleNamespace
from typing import Any

import orjson
from django.conf import settings

from runs.domain.candidates import Key
from runs.domain.requests import Due, Preloaded
from runs.engine.work import Clock
from runs.queries.database import Row

NONE: Mapping[Key, Preloaded] = MappingProxyType({})

# A process relies this long on the last database time that it read. Such times are only shown, and nothing is decided
# by them: a step that waits until a time is never preloaded (runs.dispatch.dispatcher).
_CLOCK_SECONDS = 10.0
_clock_seen = SimpleNamespace(clock=None, at=0.0)


def pack(message: Sequence[Due]) -> str:
    """Return the preload of a message as JSON: [[ticket, started_at, input as text], ...]. Empty if it carries none."""
    preloads = [due.preloaded for due in message if due.preloaded is not None]
    # The start checked the length before; but the database may write a number with more digits.
    if len(preloads) < len(message) or not short([one.input for one in preloads]):
        return ""
    return orjson.dumps([[*one] for one in preloads]).decode()


def unpack(keys: Sequence[Key], preloads: Sequence[Any]) -> Mapping[Key, Preloaded]:
    """Return a message's preload by key. If it does not fit the keys, return none: then all of them are loaded."""
    if len(preloads) != len(keys):
        return NONE
    found = {}
    for key, one in zip(keys, preloads, strict=True):
        try:
            ticket, started_at, given = one
        except (TypeError, ValueError):
            return NONE
        if not (isinstance(ticket, int) and isinstance(started_at, float) and isinstance(given, str)):
            return NONE
        found[key] = Preloaded(ticket, started_at, given)
    return found


def loaded(keys: Sequence[Key], preloaded: Mapping[Key, Preloaded]) -> list[Row] | None:
    """Return rows as runs.queries.claims.LOAD returns them, made of the preload; None if the database must be asked."""
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
    """Remember the database's time from rows that LOAD has just returned."""
    if found:
        _clock_seen.clock, _clock_seen.at = Clock(at=datetime.fromtimestamp(found[-1][6], UTC)), monotonic()


# The size of a run's preload without its input, in bytes.
_EACH_BYTES = 50


def short(inputs: Sequence[str]) -> bool:
    """Whether these inputs, with 50 bytes for each, fit into one message's preload: KNOCK_INPUT_BYTES."""
    most = settings.KNOCK_INPUT_BYTES - _EACH_BYTES * len(inputs)
    return sum(map(len, inputs)) <= most and sum(len(text.encode()) for text in inputs) <= most
