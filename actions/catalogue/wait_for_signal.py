"""Wait for somebody outside to say something, as a row, holding no worker."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from actions.base import ONCE, Action, Config, Context, Json, Park, Retry, Retryable, Woken
from actions.moments import UntilConfig, iso

# No leading colon: names that begin with one are the engine's own.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,99}")
MAX_KEY = 255


def signal_name(value: str) -> str:
    """The name, if a signal may bear it. Raises ValueError."""
    if not _NAME.fullmatch(value):
        raise ValueError(
            f"{value[:40]!r} is no signal name: 1 to 100 letters, digits and _ . : / -, beginning with a letter, a "
            "digit or _"
        )
    return value


def _text(value: object) -> object:
    """A number as a text: an order number is as good a key as its text."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


SignalName = Annotated[str, AfterValidator(signal_name)]
SignalKey = Annotated[str, BeforeValidator(_text), Field(min_length=1, max_length=MAX_KEY)]


class SignalConfig(UntilConfig):
    name: SignalName = Field(description="The name that the signal is sent under, such as order.paid")
    key: SignalKey | None = Field(
        default=None, description="What the sender knows instead of the run's id, such as {{ input.order_number }}"
    )
    on_timeout: Literal["fail", "continue"] = Field(
        default="fail", description="Whether the step fails when nobody has sent the signal in time"
    )


class WaitForSignal(Action[SignalConfig]):
    name: ClassVar[str] = "wait_for_signal"
    summary: ClassVar[str] = "Wait until a signal is sent to the run, holding no worker"
    output: ClassVar[str] = '{"signal": name, "payload": any, "at": the moment in ISO 8601 UTC}, or {"timed_out": true}'
    parks: ClassVar[bool] = True
    retry: ClassVar[Retry] = ONCE
    signal_field: ClassVar[str | None] = "name"
    config_class: ClassVar[type[Config]] = SignalConfig

    def perform(self, config: SignalConfig, context: Context) -> Park:
        return Park(wake_at=config.ends_at(context.now), signal=config.name, key=config.key)

    def woken(self, config: SignalConfig, woken: Woken) -> Json:
        if woken.by_signal:
            return {"signal": config.name, "payload": woken.payload, "at": iso(woken.at)}
        if config.on_timeout == "continue":
            return {"timed_out": True}
        raise Retryable(f"step {woken.step!r}: nobody sent signal {config.name!r} {config.limit()}", kind="timeout")
