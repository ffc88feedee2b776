"""The action `sleep`: occupy a worker for a while, for demonstrations and tests. `wait` waits without a worker."""

from __future__ import annotations

import time
from typing import ClassVar

from pydantic import Field

from actions.base import Action, Cancelled, Config, Context, Json, Retryable
from actions.durations import Seconds

_LOOK_SECONDS = 0.25


class SleepConfig(Config):
    seconds: Seconds = Field(default=1.0, description="How long, such as 0.5 or 2s")


class Sleep(Action[SleepConfig]):
    name: ClassVar[str] = "sleep"
    summary: ClassVar[str] = "Occupy a worker for some seconds"
    output: ClassVar[str] = '{"seconds": number}'
    config_class: ClassVar[type[Config]] = SleepConfig

    def perform(self, config: SleepConfig, context: Context) -> Json:
        ends = time.monotonic() + min(config.seconds, context.timeout_seconds)
        while (left := ends - time.monotonic()) > 0:
            if context.cancelled():
                raise Cancelled()
            time.sleep(min(left, _LOOK_SECONDS))
        if config.seconds > context.timeout_seconds:
            raise Retryable(f"{config.seconds} s is longer than the step's timeout", kind="timeout")
        return {"seconds": config.seconds}
