"""The action `default`: do nothing, and return the step's input."""

from __future__ import annotations

from typing import ClassVar

from actions.base import ONCE, Action, Config, Context, Json, Retry


class DefaultConfig(Config):
    """No fields."""


class Default(Action[DefaultConfig]):
    name: ClassVar[str] = "default"
    aliases: ClassVar[tuple[str, ...]] = ("noop",)
    summary: ClassVar[str] = "Return the step's input unchanged"
    output: ClassVar[str] = "the step's input"
    pure: ClassVar[bool] = True
    retry: ClassVar[Retry] = ONCE
    config_class: ClassVar[type[Config]] = DefaultConfig

    def perform(self, config: DefaultConfig, context: Context) -> Json:
        return context.input

    @classmethod
    def from_payload(cls, payload: Json) -> Json:
        # The engine also makes a short-form payload the step's input, which is all that this action reads.
        return {}
