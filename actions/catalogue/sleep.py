"""The action `sleep`: occupy a worker for up to a second, for demonstrations and tests; wait as a row beyond that."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta
from typing import ClassVar

from pydantic import Field

from actions.base import Action, Cancelled, Config, Context, Example, Json, Output, Park, Retryable, Use, Woken
from actions.durations import Seconds

_LOOK_SECONDS = 0.25
# A longer sleep would hold a thread of its worker that others need, only to do nothing.
_LONGEST_HELD_SECONDS = 1.0


class SleepConfig(Config):
    uses: ClassVar[Mapping[str, Use]] = {"seconds": Use.DECISIVE}

    seconds: Seconds = Field(default=1.0, description="How long, such as 0.5 or 2s; over 1 s it waits as `wait` does")


class SleepOutput(Output):
    seconds: float = Field(description="How long it slept")


class Sleep(Action[SleepConfig]):
    name: ClassVar[str] = "sleep"
    summary: ClassVar[str] = "Occupy a worker for up to a second; wait without one beyond that"
    description: ClassVar[str] = (
        "It is for demonstrations and tests of slow steps: up to a second it occupies a place of its worker, as a "
        "slow request would. For a pause in a workflow use `wait`, which occupies nothing."
    )
    output: ClassVar[str] = '{"seconds": number}'
    output_class: ClassVar[type[Output] | None] = SleepOutput
    examples: ClassVar[tuple[Example, ...]] = (
        Example(title="Sleep for a hundredth of a second", config={"seconds": 0.01}, output={"seconds": 0.01}),
    )
    own_input: ClassVar[bool] = False
    config_class: ClassVar[type[Config]] = SleepConfig

    def perform(self, config: SleepConfig, context: Context) -> Json | Park:
        seconds = min(config.seconds, context.timeout_seconds)
        if seconds > _LONGEST_HELD_SECONDS:
            output: dict[str, Json] = {"seconds": config.seconds}
            if config.seconds > seconds:
                output["timeout"] = seconds
            return Park(wake_at=context.now + timedelta(seconds=seconds), output=output)
        ends = time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 0:
            if context.cancelled():
                raise Cancelled()
            time.sleep(min(left, _LOOK_SECONDS))
        if config.seconds > seconds:
            raise _too_long(config.seconds, timeout=seconds)
        return {"seconds": config.seconds}

    def woken(self, config: SleepConfig, woken: Woken) -> Json:
        """Return the output of a sleep that waited. Raises Retryable if it waited until the step's timeout only."""
        output = woken.output
        if isinstance(output, dict) and isinstance(timeout := output.get("timeout"), (int, float)):
            raise _too_long(config.seconds, timeout=timeout)
        return output


def _too_long(seconds: float, *, timeout: float) -> Retryable:
    return Retryable(
        f"{seconds:g} s is longer than the step's timeout of {timeout:g} s; give it a longer one, or use wait",
        kind="timeout",
    )
