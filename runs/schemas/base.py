"""The base classes of all request and response bodies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict


class Body(BaseModel):
    """A request's body. Unknown keys are refused, and values are not converted: "1" is no number."""

    model_config: ClassVar = {"extra": "forbid", "frozen": True, "strict": True}


# Turns a path on this site into a full URL.
Site = Callable[[str], str]


class Shape(BaseModel):
    """The body of a response."""

    model_config = ConfigDict(frozen=True)

    def as_json(self) -> dict[str, Any]:
        """Return the body as a dict of Python values; the renderer writes times as ISO 8601 in UTC."""
        return self.model_dump()
