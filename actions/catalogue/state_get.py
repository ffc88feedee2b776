"""The action `state_get`: read a value that runs share, by its key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from actions.base import Action, Config, Context, Example, Json, Output, Use
from actions.texts import Text


class StateGetConfig(Config):
    uses: ClassVar[Mapping[str, Use]] = {"key": Use.DECISIVE}

    key: Text = Field(min_length=1, max_length=200, description="The key, up to 200 characters", examples=["cursor"])
    scope: Literal["workflow", "workspace"] = Field(
        default="workflow", description="Whose key it is: this workflow's alone, or the whole workspace's"
    )
    default: Any = Field(default=None, description="The value if there is none, or if it has expired")


class StateOutput(Output):
    found: bool = Field(description="Whether there is a value; false if there is none, or if it has expired")
    value: Any = Field(description="The value, or `default`")
    version: int = Field(description="Changes with every change of the value; 0 if there is none")
    expires_at: str | None = Field(description="When the value expires; null if it does not")


class StateGet(Action[StateGetConfig]):
    name: ClassVar[str] = "state_get"
    summary: ClassVar[str] = "Read a value that runs share"
    description: ClassVar[str] = (
        "State are values under keys that outlast a run: a cursor, a counter, what was seen last. `state_set` and "
        "`state_increment` change it. To change a value by what it was, give its `version` to `state_set` as "
        "`if_version`: it then changes nothing if another run was faster."
    )
    output: ClassVar[str] = '{"found": true | false, "value": JSON, "version": number, "expires_at": moment or null}'
    output_class: ClassVar[type[Output] | None] = StateOutput
    examples: ClassVar[tuple[Example, ...]] = (
        Example(
            title="Where the last run ended",
            config={"key": "cursor", "default": 0},
            output={"found": False, "value": 0, "version": 0, "expires_at": None},
        ),
    )
    transactional: ClassVar[bool] = True
    own_input: ClassVar[bool] = False
    config_class: ClassVar[type[Config]] = StateGetConfig

    def perform(self, config: StateGetConfig, context: Context) -> Json:
        entry = context.database.read_state(config.key, own=config.scope == "workflow")
        if entry is None:
            return {"found": False, "value": config.default, "version": 0, "expires_at": None}
        return {"found": True, **entry.as_json()}
