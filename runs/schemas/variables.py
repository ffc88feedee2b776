"""The JSON of a workspace's variables."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from runs.schemas.base import Body, Shape
from workflows.models import Variable


class PutVariable(Body):
    """The value to be set. With a `kind`, a value of another kind is refused; without it, the value says its kind."""

    value: Any = Field(description="A text, a number, true, false, a list or an object")
    kind: str | None = Field(default=None, description="text, number, boolean or json")


class VariableShape(Shape):
    """A variable, which steps read as `vars.name`."""

    name: str
    kind: str
    value: Any
    updated_at: datetime


class VariableList(Shape):
    """All variables of the workspace, by name."""

    results: list[VariableShape]


def variable(row: Variable) -> VariableShape:
    """Return a variable's fields."""
    return VariableShape(name=row.name, kind=row.kind, value=row.value, updated_at=row.updated_at)
