"""Perform one action as the engine would, without an engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from actions import registry
from actions.base import Json, Park, Permanent, Spawn
from actions.credentials import Credential

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Given:
    """A context with everything said beforehand."""

    input: Json
    names: Mapping[str, Json]
    run_id: str = "0192"
    step: str = "pay"
    attempt: int = 1
    idempotency_key: str = "key-1"
    now: datetime = NOW
    timeout_seconds: float = 5.0
    item: int = -1
    has_compensation: bool = False
    stopped: bool = False
    credentials: Mapping[str, Credential] = field(default_factory=dict)
    database: Any = None

    def credential(self, name: str, /) -> Credential:
        if name not in self.credentials:
            raise Permanent(f"there is no credential {name!r}", kind="credential")
        return self.credentials[name]

    def once(self, _name: str, effect: Callable[[], Json], /) -> Json:
        return effect()

    @property
    def resume(self) -> Json:
        return None

    def checkpoint(
        self, data: Json, *, done: int | None = None, failed: int | None = None, total: int | None = None
    ) -> None:
        pass

    def log(self, message: str, /, *, level: str = "info", **fields: object) -> None:
        pass

    def cancelled(self) -> bool:
        return self.stopped


def context(given: Json = None, *, attempt: int = 1, timeout_seconds: float = 5.0, **names: Json) -> Given:
    """A first attempt of step `shop.pay`; names are the run's input and its keys, and whatever is named."""
    bare = given if isinstance(given, dict) else {}
    found = {"input": given, **bare, **names}
    return Given(input=given, names=found, attempt=attempt, timeout_seconds=timeout_seconds)


def perform(name: str, config: dict[str, Any], given: Json = None, **more: Any) -> Json | Park | Spawn:
    action = registry.get(name)
    answer: Any = action.perform(action.config_class.model_validate(config), context(given, **more))
    return answer  # type: ignore[no-any-return]  # our own actions are no coroutines
