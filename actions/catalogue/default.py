"""Do nothing, and hand on what came in."""

from __future__ import annotations

from typing import ClassVar

from actions.base import ONCE, Action, Config, Context, Json, Retry


class DefaultConfig(Config):
    """Takes nothing."""


class Default(Action[DefaultConfig]):
    name: ClassVar[str] = "default"
    aliases: ClassVar[tuple[str, ...]] = ("noop",)
    summary: ClassVar[str] = "Hand the step's input on unchanged"
    output: ClassVar[str] = "the step's input"
    pure: ClassVar[bool] = True
    retry: ClassVar[Retry] = ONCE
    config_class: ClassVar[type[Config]] = DefaultConfig

    def perform(self, config: DefaultConfig, context: Context) -> Json:
        return context.input

    @classmethod
    def from_payload(cls, payload: Json) -> Json:
        # A short-form payload is the step's input as well, and that is all this action looks at.
        return {}
