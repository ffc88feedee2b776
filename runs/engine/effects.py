"""Keep the results of a step's named effects (`context.once`), so that a later attempt does not repeat them."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import orjson

from actions import payload
from actions.base import Json, Permanent
from runs.engine.thread_pool import borrowed_connection
from runs.queries.database import run
from runs.queries.effects import KNOWN_EFFECT, RECORD_EFFECT

MAX_NAME = 200


def once(run_id: UUID, *, step: str, item: int, name: str, effect: Callable[[], Json]) -> Json:
    """Return the result that is kept under this name; if there is none, call `effect` and keep its result.

    An error of the effect is raised as it is, and nothing is kept. Raises Permanent for a name that is empty or longer
    than MAX_NAME, and for a result that is not JSON.
    """
    if not 0 < len(name) <= MAX_NAME:
        raise Permanent(f"the name of an effect of step {step!r} must have 1 to {MAX_NAME} characters")
    place = {"run": run_id, "step": step, "item": item, "name": name}
    with borrowed_connection():
        known = run(KNOWN_EFFECT, **place)
    if not known:
        value = payload.clean(effect())
        with borrowed_connection():
            if run(RECORD_EFFECT, **place, value=orjson.dumps(value).decode()):
                return value
            known = run(KNOWN_EFFECT, **place)
    found: Json = orjson.loads(known[0][0])
    return found
