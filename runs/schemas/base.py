"""What all requests and responses share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict


class Body(BaseModel):
    """A request's body; unknown keys are refused."""

    model_config: ClassVar = {"extra": "forbid", "frozen": True, "strict": True}


# Makes an address of a path.
Site = Callable[[str], str]


class Shape(BaseModel):
    """An answer; `told` is what is rendered."""

    model_config = ConfigDict(frozen=True)

    def as_json(self) -> dict[str, Any]:
        """The answer as plain values; the renderer writes times as ISO 8601 UTC."""
        return self.model_dump()
