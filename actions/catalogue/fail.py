"""The action `fail`: fail permanently, to end a branch on purpose or to test the handling of failures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from actions.base import Action, Config, Context, Json, Permanent, Use
from actions.texts import Text


class FailConfig(Config):
    uses: ClassVar[Mapping[str, Use]] = {"message": Use.PROSE}

    message: Text = Field(default="failed on purpose", max_length=10_000, description="The error's text")


class Fail(Action[FailConfig]):
    name: ClassVar[str] = "fail"
    summary: ClassVar[str] = "Fail permanently with a message"
    output: ClassVar[str] = "none: it never succeeds"
    own_input: ClassVar[bool] = False
    config_class: ClassVar[type[Config]] = FailConfig

    def perform(self, config: FailConfig, context: Context) -> Json:
        raise Permanent(config.message, kind="fail")
