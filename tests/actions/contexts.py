"""Perform one action as the engine would, without an engine."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from actions import registry
from actions.base import Context, Json, Park, Spawn

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def context(given: Json = None, *, attempt: int = 1, timeout_seconds: float = 5.0, **names: Json) -> Context:
    """A first attempt of step `shop.pay`; names are the run's input and its keys, and whatever is named."""
    bare = given if isinstance(given, dict) else {}
    return Context(
        input=given,
        names={"input": given, **bare, **names},
        run_id="0192",
        step="pay",
        attempt=attempt,
        idempotency_key="key-1",
        now=NOW,
        timeout_seconds=timeout_seconds,
    )


def perform(name: str, config: dict[str, Any], given: Json = None, **more: Any) -> Json | Park | Spawn:
    action = registry.get(name)
    answer: Json | Park | Spawn = action.perform(action.config_class.model_validate(config), context(given, **more))
    return answer
