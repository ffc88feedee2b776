"""The action `wait`: wait for some time, or until a point in time, without occupying a worker."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import ClassVar, Self

from pydantic import Field, model_validator

from actions.base import ONCE, Action, Config, Context, Example, Output, Park, Retry, Use
from actions.durations import Seconds
from actions.moments import ZonedConfig, iso


class WaitConfig(ZonedConfig):
    uses: ClassVar[Mapping[str, Use]] = {**ZonedConfig.uses, "seconds": Use.DECISIVE, "for": Use.DECISIVE}

    seconds: Seconds | None = Field(default=None, description="How long, in seconds")
    for_: Seconds | None = Field(default=None, alias="for", description="How long, such as 30s, 5m, 2h or 1d")

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if sum(given is not None for given in (self.seconds, self.for_, self.until)) != 1:
            raise ValueError("needs exactly one of seconds, for and until")
        return self


class WaitOutput(Output):
    until: str = Field(description="The end of the wait, in ISO 8601 UTC")


class Wait(Action[WaitConfig]):
    name: ClassVar[str] = "wait"
    summary: ClassVar[str] = "Wait for some time or until a point in time, without occupying a worker"
    description: ClassVar[str] = (
        "The step waits as a row in the database, for seconds or for months, and occupies no worker. Give exactly "
        "one of `seconds`, `for` and `until`. A moment that has passed ends the wait at once. Whoever needs to end "
        "it sooner uses `wait_for_signal` with a timeout."
    )
    output: ClassVar[str] = '{"until": the end of the wait in ISO 8601 UTC}'
    output_class: ClassVar[type[Output] | None] = WaitOutput
    examples: ClassVar[tuple[Example, ...]] = (
        Example(
            title="Wait until a moment, which has passed",
            config={"until": "2026-03-01T09:00", "timezone": "Europe/Berlin"},
            output={"until": "2026-03-01T08:00:00Z"},
        ),
    )
    parks: ClassVar[bool] = True
    retry: ClassVar[Retry] = ONCE
    own_input: ClassVar[bool] = False
    config_class: ClassVar[type[Config]] = WaitConfig

    def perform(self, config: WaitConfig, context: Context) -> Park:
        wake_at = config.until or context.now + timedelta(seconds=_length(config))
        return Park(wake_at=wake_at, output={"until": iso(wake_at)})


def _length(config: WaitConfig) -> float:
    return config.for_ if config.for_ is not None else config.seconds or 0.0
