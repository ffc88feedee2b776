"""Convert Python values to parameters of statements, and columns of rows back to values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import orjson

from actions.base import Json
from runs.domain.candidates import Key
from runs.queries.database import columns

Params = dict[str, Any]


def dumps(value: Json | Sequence[Json]) -> str:
    """Return the value as JSON text for a jsonb column."""
    return orjson.dumps(value).decode()


def nullable(value: Json) -> str | None:
    """Return the value as JSON text, or None (SQL's NULL) for None."""
    return None if value is None else orjson.dumps(value).decode()


def loads(text: str | None) -> Any:
    """Return the value of a column that was read as JSON text; None for SQL's NULL."""
    return None if text is None else orjson.loads(text)


def keys(found: Sequence[Key]) -> Params:
    """Return keys as the parameters `runs` and `items`."""
    return {"runs": [key[0] for key in found], "items": [key[1] for key in found]}


def step_keys(found: Sequence[tuple[UUID, int, str]]) -> Params:
    """Return (run, item, step) as the parameters `runs`, `items` and `steps`."""
    names = ("runs", "items", "steps")
    return dict(zip(names, columns(list(found), len(names)), strict=True))
