"""Count the uses of credentials in this process, and write them down at most every ten seconds.

The first use after a quiet time is written at once. What was counted in the last ten seconds before a process ends is
lost; a use that no other follows is written with the next one.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from uuid import UUID

from django.db import DatabaseError, InterfaceError
from django.db.models import Case, F, Value, When
from django.db.models.functions import Now

from workflows.models import Credential

log = logging.getLogger(__name__)
EVERY_SECONDS = 10.0


class _Counted:
    """The uses that are not written yet, and when this process wrote last."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.uses: dict[UUID, int] = {}
        self.written_at = -math.inf


_counted = _Counted()


def forget() -> None:
    """Begin anew: in a forked child, and in tests."""
    _counted.__init__()  # type: ignore[misc]  # a lock of the parent may be held


os.register_at_fork(after_in_child=forget)


def note(key: UUID, *, flush: Callable[[], AbstractContextManager[None]]) -> None:
    """Count a use. Now and then write all that were counted, inside `flush`, which lends a connection."""
    with _counted.lock:
        _counted.uses[key] = _counted.uses.get(key, 0) + 1
        now = time.monotonic()
        if now - _counted.written_at < EVERY_SECONDS:
            return
        _counted.written_at = now
        found, _counted.uses = _counted.uses, {}
    try:
        with flush():
            _write(found)
    except (DatabaseError, InterfaceError) as error:
        # No step fails because its use was not counted.
        log.warning("credential_use_not_written", extra={"error": str(error)})


def _write(found: dict[UUID, int]) -> None:
    """Add the counts, in one statement. Rows are locked by it in the order of the index, and no others."""
    added = Case(*(When(pk=key, then=Value(count)) for key, count in sorted(found.items())), default=Value(0))
    Credential.objects.filter(pk__in=found).update(uses=F("uses") + added, last_used_at=Now())
