"""The action `condition`: evaluate an expression to true or false, for other steps to branch on."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from actions import expressions
from actions.base import ONCE, Action, Config, Context, Json, Retry


class ConditionConfig(Config):
    expression: Any = Field(description="An expression such as `steps.pick.output.age >= 18`, or true or false")


class Condition(Action[ConditionConfig]):
    name: ClassVar[str] = "condition"
    summary: ClassVar[str] = "Evaluate an expression to true or false"
    output: ClassVar[str] = '{"result": true | false}'
    pure: ClassVar[bool] = True
    retry: ClassVar[Retry] = ONCE
    raw: ClassVar[frozenset[str]] = frozenset({"expression"})
    own_input: ClassVar[bool] = False
    config_class: ClassVar[type[Config]] = ConditionConfig

    def perform(self, config: ConditionConfig, context: Context) -> Json:
        source = config.expression
        value = expressions.evaluate(source, context.names) if isinstance(source, str) else source
        return {"result": expressions.truthy(value)}
