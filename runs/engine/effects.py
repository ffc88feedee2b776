"""Keep what the named effects of a step answered, so that a later attempt does not make them again."""

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
    """The `once` of a step's context. Answers what was kept under the name, else makes the effect and keeps it.

    The effect's own error passes through, and nothing is kept. Raises Permanent for a name that is empty or longer
    than MAX_NAME, or an answer that is not JSON.
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
