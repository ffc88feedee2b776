"""Keep the results of a step's named effects (`context.once`), so that a later attempt does not repeat them."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable
from uuid import UUID

import orjson
from django.conf import settings
from django.db import Error, connection

from actions import payload
from actions.base import Json, Permanent, Retryable
from runs.engine.thread_pool import borrowed_connection
from runs.queries import database
from runs.queries.database import Row, run
from runs.queries.effects import KNOWN_EFFECT, RECORD_EFFECT

log = logging.getLogger(__name__)
MAX_NAME = 200
# Between two tries, at most.
_MOST_PAUSE_SECONDS = 1.0


def once(run_id: UUID, *, step: str, item: int, name: str, effect: Callable[[], Json]) -> Json:
    """Return the result that is kept under this name; if there is none, call `effect` and keep its result.

    An error of the effect is raised as it is, and nothing is kept. If the database refuses, it is asked again for half
    of a lease, while the effect is not called again. Raises Permanent for a name that is empty or longer than MAX_NAME,
    and for a result that is not JSON or that PostgreSQL cannot store; Retryable if the database refuses for longer;
    django.db.Error in a transaction.
    """
    if not 0 < len(name) <= MAX_NAME:
        raise Permanent(f"the name of an effect of step {step!r} must have 1 to {MAX_NAME} characters")
    place = {"run": run_id, "step": step, "item": item, "name": name}
    known = _asked(
        lambda: run(KNOWN_EFFECT, **place), fails=f"effect {name!r} was not made, as it may have been before"
    )
    if not known:
        value = payload.clean(effect())
        text = orjson.dumps(value).decode()

        def keep() -> list[Row]:
            # No row: another attempt has kept its result, or this one's answer was lost on the way.
            return [] if run(RECORD_EFFECT, **place, value=text) else run(KNOWN_EFFECT, **place)

        known = _asked(
            keep, fails=f"effect {name!r} was made, but its result is not stored: a later attempt repeats it"
        )
        if not known:
            return value
    found: Json = orjson.loads(known[0][0])
    return found


def _asked(ask: Callable[[], list[Row]], *, fails: str) -> list[Row]:
    """Return the answer of the database, which is asked again as by runs.engine.walker if it refuses."""
    until = time.monotonic() + settings.PROCESS_LEASE_SECONDS / 2
    for number in itertools.count(1):
        try:
            with borrowed_connection():
                return ask()
        except Error as error:
            if connection.in_atomic_block:  # what the transaction did is gone
                raise
            if database.by_value(error):
                raise Permanent(
                    f"{fails}; PostgreSQL refuses the result: {error}"[:2000], kind="unrecordable"
                ) from None
            if time.monotonic() >= until:
                raise Retryable(f"{fails}; the database refuses: {error}"[:2000], kind="database") from None
            log.warning("effect_refused", extra={"number": number, "error": str(error)})
            connection.close()
        time.sleep(min(0.2 * number, _MOST_PAUSE_SECONDS))
    raise AssertionError  # the loop has no end
