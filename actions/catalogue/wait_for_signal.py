"""The action `wait_for_signal`: wait, without occupying a worker, for a signal that is sent to the run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from actions.base import ONCE, Action, Config, Context, Example, Json, Output, Park, Retry, Retryable, Use, Woken
from actions.moments import UntilConfig, iso
from actions.texts import Text

# A name may not begin with a colon: such names are reserved for the engine, as ":approval".
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,99}")
MAX_KEY = 255


def signal_name(value: str) -> str:
    """Return the name if it is valid for a signal. Raises ValueError."""
    if not _NAME.fullmatch(value):
        raise ValueError(
            f"{value[:40]!r} is no signal name: 1 to 100 letters, digits and _ . : / -, beginning with a letter, a "
            "digit or _"
        )
    return value


SignalName = Annotated[Text, AfterValidator(signal_name)]
SignalKey = Annotated[Text, Field(min_length=1, max_length=MAX_KEY)]


class SignalConfig(UntilConfig):
    uses: ClassVar[Mapping[str, Use]] = {**UntilConfig.uses, "name": Use.DECISIVE, "key": Use.DECISIVE}

    name: SignalName = Field(
        description="The name that the signal is sent under, such as order.paid", examples=["order.paid"]
    )
    key: SignalKey | None = Field(
        default=None,
        description="A key by which the sender can reach the step without the run's id, as {{ input.order_number }}",
    )
    on_timeout: Literal["fail", "continue"] = Field(
        default="fail", description="fail: the step fails if the signal does not arrive in time; continue: it succeeds"
    )


class SignalOutput(Output):
    signal: str = Field(default="", description="The signal's name; not there if it did not come in time")
    payload: Any = Field(default=None, description="What was sent with it; not there if it did not come in time")
    at: str = Field(default="", description="When it came, in ISO 8601 UTC; not there if it did not come in time")
    timed_out: bool = Field(default=False, description="true, if it did not come in time; else not there")


class WaitForSignal(Action[SignalConfig]):
    name: ClassVar[str] = "wait_for_signal"
    summary: ClassVar[str] = "Wait until a signal is sent to the run, without occupying a worker"
    description: ClassVar[str] = (
        "The step waits as a row until somebody sends the signal to its run, by the run's id or by `key`: `POST "
        "/api/v1/runs/{id}/signals`, `POST /api/v1/signals`, the page of the run, `manage.py send_signal`. A signal "
        "that comes before the step is kept for it. Without `timeout` and `until` it waits for ever."
    )
    output: ClassVar[str] = '{"signal": name, "payload": any, "at": the time in ISO 8601 UTC}, or {"timed_out": true}'
    output_class: ClassVar[type[Output] | None] = SignalOutput
    examples: ClassVar[tuple[Example, ...]] = (
        Example(
            title="Wait until an order is paid",
            config={"name": "order.paid", "key": "{{ input.order }}", "timeout": "7d"},
            input={"order": 4711},
            payload={"amount": "19.99"},
            output={"signal": "order.paid", "payload": {"amount": "19.99"}},
        ),
    )
    parks: ClassVar[bool] = True
    retry: ClassVar[Retry] = ONCE
    signal_field: ClassVar[str | None] = "name"
    own_input: ClassVar[bool] = False
    config_class: ClassVar[type[Config]] = SignalConfig

    def perform(self, config: SignalConfig, context: Context) -> Park:
        return Park(wake_at=config.ends_at(context.now), signal=config.name, key=config.key)

    def woken(self, config: SignalConfig, woken: Woken) -> Json:
        if woken.by_signal:
            return {"signal": config.name, "payload": woken.payload, "at": iso(woken.at)}
        if config.on_timeout == "continue":
            return {"timed_out": True}
        raise Retryable(f"step {woken.step!r}: nobody sent signal {config.name!r} {config.limit()}", kind="timeout")
