"""The action `state_increment`: add to a number that runs share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from actions.base import Action, Config, Context, Example, Json, Output, Use
from actions.durations import Seconds
from actions.texts import Text, Whole


class StateIncrementConfig(Config):
    uses: ClassVar[Mapping[str, Use]] = dict.fromkeys(("key", "ttl", "by"), Use.DECISIVE)

    key: Text = Field(
        min_length=1, max_length=200, description="The key, up to 200 characters", examples=["orders-today"]
    )
    by: Whole | float = Field(default=1, allow_inf_nan=False, description="How much is added; less than 0 subtracts")
    scope: Literal["workflow", "workspace"] = Field(
        default="workflow", description="Whose key it is: this workflow's alone, or the whole workspace's"
    )
    ttl: Seconds | None = Field(
        default=None, gt=0, description="How long the number stays, from the first increment on; without it, for ever"
    )


class StateIncrementOutput(Output):
    value: int | float = Field(description="The number after the addition")
    version: int = Field(description="Changes with every change of the value")
    expires_at: str | None = Field(description="When the number expires, and begins at 0 again; null if it does not")
    previous: int | float = Field(description="The number before; 0 if there was none")


class StateIncrement(Action[StateIncrementConfig]):
    name: ClassVar[str] = "state_increment"
    summary: ClassVar[str] = "Add to a number that runs share"
    description: ClassVar[str] = (
        "A key that is not there, or has expired, counts from 0. Concurrent increments follow one another, and each is "
        "made exactly once, together with the record of its step. A number with a fraction is added as a decimal: ten "
        "times 0.1 is 1."
    )
    output: ClassVar[str] = '{"value": the number then, "version", "expires_at", "previous": the number before}'
    output_class: ClassVar[type[Output] | None] = StateIncrementOutput
    examples: ClassVar[tuple[Example, ...]] = (
        Example(
            title="Count orders",
            config={"key": "orders", "by": "{{ input.count }}"},
            input={"count": 3},
            output={"value": 3, "previous": 0, "expires_at": None},
        ),
    )
    transactional: ClassVar[bool] = True
    own_input: ClassVar[bool] = False
    config_class: ClassVar[type[Config]] = StateIncrementConfig

    def perform(self, config: StateIncrementConfig, context: Context) -> Json:
        own = config.scope == "workflow"
        before, now = context.database.increment_state(config.key, config.by, ttl_seconds=config.ttl, own=own)
        return {**now.as_json(), "previous": before}
