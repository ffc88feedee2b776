"""The action `notify`: send a message to a channel. For now every channel is the log."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from actions.base import Action, Config, Context, Example, Json, Output, Use
from actions.payload import dumps
from actions.texts import Text

log = logging.getLogger("stepwise.notify")


class NotifyConfig(Config):
    uses: ClassVar[Mapping[str, Use]] = {"channel": Use.DECISIVE}

    channel: Text = Field(
        min_length=1, max_length=200, description="Name of the channel, such as slack or ops", examples=["ops"]
    )
    text: Any = Field(default="", description="The message; anything but a text is written as JSON")


class NotifyOutput(Output):
    channel: str = Field(description="The channel")
    text: str = Field(description="The message as it was written")


class Notify(Action[NotifyConfig]):
    name: ClassVar[str] = "notify"
    summary: ClassVar[str] = "Write a message for a channel to the log, as one line"
    description: ClassVar[str] = (
        "For now every channel is the worker's log: one line, without line breaks. A `text` that is no text is "
        "written as JSON, so that a whole output can be told."
    )
    output: ClassVar[str] = '{"channel": text, "text": text}'
    output_class: ClassVar[type[Output] | None] = NotifyOutput
    examples: ClassVar[tuple[Example, ...]] = (
        Example(
            title="Tell what an order costs",
            config={"channel": "ops", "text": "order {{ input.order }} costs {{ input.total }}"},
            input={"order": 4711, "total": "19.99"},
            output={"channel": "ops", "text": "order 4711 costs 19.99"},
        ),
    )
    payload_words: ClassVar[Mapping[str, str]] = {"message": "text"}
    payload_defaults: ClassVar[Mapping[str, Json]] = {"channel": "log"}
    own_input: ClassVar[bool] = False
    config_class: ClassVar[type[Config]] = NotifyConfig

    def perform(self, config: NotifyConfig, context: Context) -> Json:
        text = config.text if isinstance(config.text, str) else dumps(config.text)
        log.info("notify %s: %s", _line(config.channel), _line(text))
        return {"channel": config.channel, "text": text}


def _line(text: str) -> str:
    """Return the text on one line, so that a message cannot forge further log lines."""
    return "".join(character if character.isprintable() else " " for character in text[:10_000])
