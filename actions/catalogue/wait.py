"""The action `wait`: wait for some time, or until a point in time, without occupying a worker."""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import ClassVar, Self

from pydantic import AwareDatetime, Field, model_validator

from actions.base import ONCE, Action, Config, Context, Park, Retry
from actions.durations import Seconds
from actions.moments import iso


class WaitConfig(Config):
    seconds: Seconds | None = Field(default=None, description="How long, in seconds")
    for_: Seconds | None = Field(default=None, alias="for", description="How long, such as 30s, 5m, 2h or 1d")
    until: AwareDatetime | None = Field(
        default=None, description="When, in ISO 8601 with a time zone, such as 2026-03-01T09:00:00Z"
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if sum(given is not None for given in (self.seconds, self.for_, self.until)) != 1:
            raise ValueError("needs exactly one of seconds, for and until")
        return self


class Wait(Action[WaitConfig]):
    name: ClassVar[str] = "wait"
    summary: ClassVar[str] = "Wait for some time or until a point in time, without occupying a worker"
    output: ClassVar[str] = '{"until": the end of the wait in ISO 8601 UTC}'
    parks: ClassVar[bool] = True
    retry: ClassVar[Retry] = ONCE
    own_input: ClassVar[bool] = False
    config_class: ClassVar[type[Config]] = WaitConfig

    def perform(self, config: WaitConfig, context: Context) -> Park:
        wake_at = config.until.astimezone(UTC) if config.until else context.now + timedelta(seconds=_length(config))
        return Park(wake_at=wake_at, output={"until": iso(wake_at)})


def _length(config: WaitConfig) -> float:
    return config.for_ if config.for_ is not None else config.seconds or 0.0
