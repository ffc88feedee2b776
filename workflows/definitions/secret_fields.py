"""The secrets that a config reads in the one form that has a value: `{{ secrets.<credential>.<field> }}`."""

from __future__ import annotations

from collections.abc import Iterator

from actions.base import Json
from actions.expressions.language import parsed

NAME = "secrets"


def secret_fields(config: Json, *, raw: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Yield credential and field of each; of the fields that the engine renders, and not those that are `raw`."""
    for _, expression in parsed(engine_rendered(config, raw=raw), path=""):
        path = expression.path
        if path is not None and path[0] == NAME and len(path) == 3:
            yield str(path[1]), str(path[2])


def engine_rendered(config: Json, *, raw: frozenset[str]) -> Json:
    """Return the part of a config that the engine renders."""
    if not raw or not isinstance(config, dict):
        return config
    return {key: value for key, value in config.items() if key not in raw}
