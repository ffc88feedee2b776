"""The action `fail`: fail permanently, to end a branch on purpose or to test the handling of failures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from actions.base import Action, Config, Context, Example, Json, Output, Permanent, Use
from actions.texts import Text


class FailConfig(Config):
    uses: ClassVar[Mapping[str, Use]] = {"message": Use.PROSE}

    message: Text = Field(default="failed on purpose", max_length=10_000, description="The error's text")


class FailOutput(Output):
    """No fields: a step that only fails has no output."""


class Fail(Action[FailConfig]):
    name: ClassVar[str] = "fail"
    summary: ClassVar[str] = "Fail permanently with a message"
    description: ClassVar[str] = (
        "The step fails at once, without a retry: with `on_error: fail` (the default) it becomes a dead letter, and "
        "the run fails. With `on_error: continue` later steps read the message as "
        "`steps.<id>.output.error.message`."
    )
    output: ClassVar[str] = "none: it never succeeds"
    output_class: ClassVar[type[Output] | None] = FailOutput
    examples: ClassVar[tuple[Example, ...]] = (
        Example(
            title="Refuse an order without lines",
            config={"message": "order {{ input.order }} has no lines"},
            input={"order": 4711},
            error="fail",
        ),
    )
    own_input: ClassVar[bool] = False
    config_class: ClassVar[type[Config]] = FailConfig

    def perform(self, config: FailConfig, context: Context) -> Json:
        raise Permanent(config.message, kind="fail")
