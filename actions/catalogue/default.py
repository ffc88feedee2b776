"""The action `default`: do nothing, and return the step's input."""

from __future__ import annotations

from typing import ClassVar

from pydantic import ConfigDict

from actions.base import ONCE, Action, Config, Context, Example, Json, Output, Retry


class DefaultConfig(Config):
    """No fields."""


class DefaultOutput(Output):
    """The step's input, whatever it is."""

    model_config = ConfigDict(extra="allow")


class Default(Action[DefaultConfig]):
    name: ClassVar[str] = "default"
    aliases: ClassVar[tuple[str, ...]] = ("noop",)
    summary: ClassVar[str] = "Return the step's input unchanged"
    description: ClassVar[str] = (
        "It does nothing. It stands where branches meet, or where a step has yet to be written; the step's input is "
        "the output of the step before it, or that of all of them by their ids, or the run's input if there is "
        "none."
    )
    output: ClassVar[str] = "the step's input"
    output_class: ClassVar[type[Output] | None] = DefaultOutput
    examples: ClassVar[tuple[Example, ...]] = (
        Example(
            title="Let two branches meet",
            config={},
            steps=(
                {"id": "left", "action": "transform", "with": {"set": {"n": 1}}},
                {"id": "right", "action": "transform", "with": {"set": {"n": 2}}, "needs": []},
            ),
            needs=("left", "right"),
            output={"left": {"n": 1}, "right": {"n": 2}},
        ),
    )
    pure: ClassVar[bool] = True
    retry: ClassVar[Retry] = ONCE
    config_class: ClassVar[type[Config]] = DefaultConfig

    def perform(self, config: DefaultConfig, context: Context) -> Json:
        return context.input

    @classmethod
    def from_payload(cls, payload: Json) -> Json:
        # The engine also makes a short-form payload the step's input, which is all that this action reads.
        return {}
