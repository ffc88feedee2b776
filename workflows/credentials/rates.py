"""The rate limit of a credential, such as `10/s`, across all workers.

A window begins with its first use and lasts a second, a minute or an hour. A process takes a slice of the window's uses
by one guarded statement, and hands them out by itself; so a use costs no statement, and all processes together never
have more than the window. What a process does not use of its slice is lost with the window: a slice is a tenth of it,
and at least one.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

from django.db.models import Case, F, Q, Value, When
from django.db.models.functions import Now

from workflows.models import Credential

_RATE = re.compile(r"(?P<count>[1-9][0-9]{0,5})/(?P<unit>s|m|h)")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_SLICES = 10


class Rate(NamedTuple):
    """At most `uses` in each `seconds`."""

    uses: int
    seconds: float


class _Slice(NamedTuple):
    """Uses that this process may still hand out, until a moment of its monotonic clock."""

    left: int
    until: float


class _Slices:
    """The slices of this process, and until when windows are known to be used up, by credential."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.taken: dict[UUID, _Slice] = {}
        # One thread asks the database for a credential's next slice, the others wait for it.
        self.asking: dict[UUID, threading.Lock] = {}


_slices = _Slices()


def forget() -> None:
    """Begin anew: in a forked child, whose parent has these slices, and in tests."""
    _slices.__init__()  # type: ignore[misc]  # a lock of the parent may be held


os.register_at_fork(after_in_child=forget)


@lru_cache(maxsize=256)
def parse(text: str) -> Rate | None:
    """Return the rate; None for an empty text. Raises ValueError, which says how to write one."""
    if not text:
        return None
    match = _RATE.fullmatch(text)
    if match is None:
        raise ValueError("must be a count and a unit, as in 10/s, 300/m or 1000/h")
    return Rate(int(match["count"]), _SECONDS[match["unit"]])


def fault(text: str) -> str | None:
    """Return what is wrong with a rate, or None."""
    try:
        parse(text)
    except ValueError as error:
        return str(error)
    return None


def wait_seconds(key: UUID, rate: Rate, *, connected: Callable[[], AbstractContextManager[None]]) -> float:
    """Take one use of the credential now, and return 0; or return for how many seconds no use is left.

    `connected` lends a database connection.
    """
    if _take(key):
        return 0.0
    with _slices.lock:
        asking = _slices.asking.setdefault(key, threading.Lock())
    with asking:
        if _take(key):
            return 0.0
        with _slices.lock:
            known = _slices.taken.get(key)
        now = time.monotonic()
        if known is not None and known.left < 0 and known.until > now:
            return known.until - now
        with connected():
            granted, rest = _next(key, rate)
        with _slices.lock:
            # -1: the window is used up until then.
            _slices.taken[key] = _Slice(granted - 1 if granted else -1, now + rest)
        return 0.0 if granted else max(rest, 0.001)


def _take(key: UUID) -> bool:
    with _slices.lock:
        found = _slices.taken.get(key)
        if found is None or found.left <= 0 or found.until <= time.monotonic():
            return False
        _slices.taken[key] = found._replace(left=found.left - 1)
        return True


def _next(key: UUID, rate: Rate) -> tuple[int, float]:
    """Take the next slice: how many uses it has, 0 if the window is used up, and how long the window still lasts."""
    size = max(1, rate.uses // _SLICES)
    # The rest of a window may be smaller than a slice.
    granted = next((count for count in dict.fromkeys((size, 1)) if _grants(key, rate, count)), 0)
    window = timedelta(seconds=rate.seconds)
    found = Credential.objects.filter(pk=key).annotate(rest=F("rate_began_at") + window - Now())
    rest = found.values_list("rest", flat=True).first()
    return granted, rate.seconds if rest is None else rest.total_seconds()


def _grants(key: UUID, rate: Rate, count: int) -> bool:
    """Whether so many uses are left in this window, or a new one begins; then they are taken, by one statement."""
    over = Q(rate_began_at=None) | Q(rate_began_at__lte=Now() - timedelta(seconds=rate.seconds))
    left = Credential.objects.filter(over | Q(rate_taken__lte=rate.uses - count), pk=key)
    taken = Case(When(over, then=Value(count)), default=F("rate_taken") + count)
    return bool(left.update(rate_taken=taken, rate_began_at=Case(When(over, then=Now()), default=F("rate_began_at"))))
