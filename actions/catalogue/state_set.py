"""The action `state_set`: set or delete a value that runs share, also only if it is still what it was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from actions.base import Action, Config, Context, Example, Json, Output, Permanent, Use
from actions.database import StateChange
from actions.durations import Seconds
from actions.texts import Text, Whole


class StateSetConfig(Config):
    uses: ClassVar[Mapping[str, Use]] = dict.fromkeys(("key", "ttl", "if_version"), Use.DECISIVE)

    key: Text = Field(min_length=1, max_length=200, description="The key, up to 200 characters", examples=["cursor"])
    value: Any = Field(default=None, description="The new value: any JSON, also null")
    delete: bool = Field(default=False, description="Delete the key, instead of giving it a value")
    scope: Literal["workflow", "workspace"] = Field(
        default="workflow", description="Whose key it is: this workflow's alone, or the whole workspace's"
    )
    ttl: Seconds | None = Field(default=None, gt=0, description="How long the value stays; without it, for ever")
    if_version: Whole | None = Field(
        default=None, ge=0, description="Change it only if it has this version; 0: only if there is none"
    )
    if_value: Any = Field(default=None, description="Change it only if this is its value")
    on_mismatch: Literal["fail", "continue"] = Field(
        default="fail", description="What happens if it is not: the step fails, or succeeds with `stored: false`"
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        given = self.model_fields_set
        if self.delete is ("value" in given):
            raise ValueError("needs either a `value`, which may be null, or `delete: true`")
        if self.delete and self.ttl is not None:
            raise ValueError("deletes the key, so `ttl` has nothing to do; leave it out")
        if self.if_version is not None and "if_value" in given:
            raise ValueError("compares by if_version and by if_value; keep one of them")
        return self


class StateSetOutput(Output):
    stored: bool = Field(description="Whether it was changed; false only with `on_mismatch: continue`")
    value: Any = Field(description="The value that there is now")
    version: int = Field(description="Its version; 0 if there is none")
    expires_at: str | None = Field(description="When it expires; null if it does not")
    previous: Any = Field(description="The value before; null if there was none")


class StateSet(Action[StateSetConfig]):
    """The row of the key is locked until the step is recorded, so no two runs change it at the same time."""

    name: ClassVar[str] = "state_set"
    summary: ClassVar[str] = "Set or delete a value that runs share"
    description: ClassVar[str] = (
        "The change and the record of the step are one transaction, so it happens exactly once. With `if_version` "
        "(from `state_get`) or `if_value` it happens only if nobody else has changed the value meanwhile; else the "
        "step fails with the kind `conflict`, or with `on_mismatch: continue` says what is there."
    )
    output: ClassVar[str] = '{"stored": true | false, "value", "version", "expires_at", "previous"}'
    output_class: ClassVar[type[Output] | None] = StateSetOutput
    examples: ClassVar[tuple[Example, ...]] = (
        Example(
            title="Only the first run of a day goes on",
            config={"key": "sent-{{ input.day }}", "value": True, "ttl": "2d", "if_version": 0},
            input={"day": "2026-12-01"},
            output={"stored": True, "value": True, "previous": None},
        ),
    )
    transactional: ClassVar[bool] = True
    own_input: ClassVar[bool] = False
    config_class: ClassVar[type[Config]] = StateSetConfig

    def perform(self, config: StateSetConfig, context: Context) -> Json:
        change = StateChange(
            value=config.value,
            delete=config.delete,
            ttl_seconds=config.ttl,
            if_version=config.if_version,
            if_value=(config.if_value,) if "if_value" in config.model_fields_set else None,
        )
        stored, before, now = context.database.change_state(config.key, change, own=config.scope == "workflow")
        if not stored and config.on_mismatch == "fail":
            there = f"has version {before.version}" if before is not None else "is not there"
            raise Permanent(
                f"state_set: the key {config.key[:60]!r} {there}, which is not what was expected; read it again, or "
                "write on_mismatch: continue",
                kind="conflict",
                details={"key": config.key, "version": before.version if before else 0},
            )
        gone: dict[str, Json] = {"value": None, "version": 0, "expires_at": None}
        previous = before.value if before is not None else None
        return {"stored": stored, **(now.as_json() if now is not None else gone), "previous": previous}
