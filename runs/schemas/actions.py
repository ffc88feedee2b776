"""The JSON of actions in responses."""

from __future__ import annotations

from typing import Any

from actions import described
from actions.base import Action
from runs.schemas.base import Shape


class ActionShape(Shape):
    """What a step can do. `config` is the JSON Schema of the step's `with` after its expressions were rendered.

    `output` says in a line what `output_schema` says as a JSON Schema; that is null if the output is not described. An
    output has no field that its schema does not have, unless `additionalProperties` is true. `package` is who brings
    the action: `stepwise` for our own. `examples` are steps with what they give.
    """

    name: str
    aliases: list[str]
    package: str
    summary: str
    description: str
    output: str
    pure: bool
    parks: bool
    transactional: bool
    repeatable: bool
    timeout_seconds: float
    max_attempts: int
    error_kinds: list[str]
    credential_kinds: list[str]
    config: dict[str, Any]
    output_schema: dict[str, Any] | None
    examples: list[dict[str, Any]]


class ActionList(Shape):
    """All actions, by name."""

    results: list[ActionShape]


def shape(action: Action[Any]) -> ActionShape:
    return ActionShape(**described.as_json(action))
