"""The action `condition`: evaluate an expression to true or false, for other steps to branch on."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from actions import expressions
from actions.base import ONCE, Action, Config, Context, Example, Json, Output, Retry


class ConditionConfig(Config):
    expression: Any = Field(description="An expression such as `steps.pick.output.age >= 18`, or true or false")


class ConditionOutput(Output):
    result: bool = Field(description="Whether the expression is true")


class Condition(Action[ConditionConfig]):
    name: ClassVar[str] = "condition"
    summary: ClassVar[str] = "Evaluate an expression to true or false"
    description: ClassVar[str] = (
        "The value of `expression` counts as true or false as in `if`: null, false, 0, and an empty text, list or "
        "object are false. Other steps read `steps.<id>.output.result`, mostly in their `if`; a step with an `if` "
        "of its own needs no condition before it."
    )
    output: ClassVar[str] = '{"result": true | false}'
    output_class: ClassVar[type[Output] | None] = ConditionOutput
    examples: ClassVar[tuple[Example, ...]] = (
        Example(
            title="Ask whether an order is large",
            config={"expression": "input.pieces >= 100"},
            input={"pieces": 120},
            output={"result": True},
        ),
    )
    pure: ClassVar[bool] = True
    retry: ClassVar[Retry] = ONCE
    raw: ClassVar[frozenset[str]] = frozenset({"expression"})
    own_input: ClassVar[bool] = False
    config_class: ClassVar[type[Config]] = ConditionConfig

    def perform(self, config: ConditionConfig, context: Context) -> Json:
        source = config.expression
        value = expressions.evaluate(source, context.names) if isinstance(source, str) else source
        return {"result": expressions.truthy(value)}
