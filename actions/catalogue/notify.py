"""The action `notify`: send a message to a channel. For now every channel is the log."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from actions.base import Action, Config, Context, Json, Use
from actions.payload import dumps
from actions.texts import Text

log = logging.getLogger("stepwise.notify")


class NotifyConfig(Config):
    uses: ClassVar[Mapping[str, Use]] = {"channel": Use.DECISIVE}

    channel: Text = Field(min_length=1, max_length=200, description="Name of the channel, such as slack or ops")
    text: Any = Field(default="", description="The message; anything but a text is written as JSON")


class Notify(Action[NotifyConfig]):
    name: ClassVar[str] = "notify"
    summary: ClassVar[str] = "Write a message for a channel to the log, as one line"
    output: ClassVar[str] = '{"channel": text, "text": text}'
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
