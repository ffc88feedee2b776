"""The action `log`: write a line into the log of its step, which the run's page, the API and `show_run` tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from actions.base import Action, Config, Context, Example, Json, Output, Use
from actions.texts import Text


class LogConfig(Config):
    uses: ClassVar[Mapping[str, Use]] = {"message": Use.PROSE}

    message: Text = Field(min_length=1, max_length=4000, description="What to write", examples=["an order came in"])
    level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="How serious it is")
    fields: dict[str, Any] = Field(default_factory=dict, description="Values that stand beside the message")

    @model_validator(mode="after")
    def _not_level(self) -> Self:
        if "level" in self.fields:
            raise ValueError("a field cannot be named level, which is the level of the line; name it otherwise")
        return self


class LogOutput(Output):
    message: str = Field(description="The message as it was written")
    level: str = Field(description="The level")


class Log(Action[LogConfig]):
    name: ClassVar[str] = "log"
    summary: ClassVar[str] = "Write a line into the log of the step"
    description: ClassVar[str] = (
        "The line is stored with the run, and deleted with it. The run's page, `manage.py show_run --logs` and "
        "`GET /api/v1/runs/{id}/steps/{step}/logs` show it. The first 200 lines and 32 KB of a step are stored, over "
        "all its attempts, and more are counted; each item of a `for_each` has a log of its own. To tell somebody, use "
        "`notify`."
    )
    output: ClassVar[str] = '{"message": text, "level": text}'
    output_class: ClassVar[type[Output] | None] = LogOutput
    examples: ClassVar[tuple[Example, ...]] = (
        Example(
            title="Write down what came in",
            config={"message": "order {{ input.order }} came in", "level": "warning", "fields": {"pieces": 120}},
            input={"order": 4711},
            output={"message": "order 4711 came in", "level": "warning"},
        ),
    )
    own_input: ClassVar[bool] = False
    config_class: ClassVar[type[Config]] = LogConfig

    def perform(self, config: LogConfig, context: Context) -> Json:
        context.log(config.message, level=config.level, **config.fields)
        return {"message": config.message, "level": config.level}
